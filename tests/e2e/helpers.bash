# helpers.bash: what the end-to-end tests share.  In each .bats file:
#
#   bats_require_minimum_version 1.5.0
#   load helpers
#   setup() { new_place; }
#   teardown() { stop_all; }
#
# Programs come from $VOUCH_BIN (build/release/bin when unset).  Each test has a folder of its own,
# $PLACE, and a store in it.  Nothing waits for time: wait_until polls a stated condition and fails
# at a deadline.  Tests that take a second or less and exercise threads are tagged for the
# sanitizers' short run:  # bats test_tags=short

# Makes the place of this test, and an environment in which only it is known.
new_place() {
  REPOSITORY=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
  : "${VOUCH_BIN:=$REPOSITORY/build/release/bin}"
  PLACE=$BATS_TEST_TMPDIR
  local name
  for name in $(compgen -e VOUCH_); do
    [[ "$name" == VOUCH_BIN || "$name" == VOUCH_PRESET ]] || unset "$name"
  done
  export REPOSITORY VOUCH_BIN PLACE VOUCH_STORE=$PLACE/store PATH=$VOUCH_BIN:$PATH TZ=UTC
  export VOUCH_POOL_KEY=$PLACE/pool.key
  export NO_COLOR=1
}

# True under a sanitizer, where programs are ten times slower and strace cannot be used.
is_sanitized() { [[ "${VOUCH_PRESET:-release}" == asan || "${VOUCH_PRESET:-}" == tsan ]]; }

# wait_until SECONDS COMMAND...: until the command succeeds; fails at the deadline, saying so.
wait_until() {
  local seconds=$1 deadline
  shift
  ! is_sanitized || seconds=$((seconds * 5))
  deadline=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= deadline)); then
      printf 'after %d s still not true: %s\n' "$seconds" "$*" >&2
      return 1
    fi
    read -r -t 0.05 <> <(:) || true
  done
}

# start NAME COMMAND...: in the background; its output goes to $PLACE/NAME.log.
start() {
  local name=$1
  shift
  "$@" >>"$PLACE/$name.log" 2>&1 </dev/null 3>&- &
  printf '%d\n' "$!" >"$PLACE/$name.pid"
}

pid_of() { cat "$PLACE/$1.pid"; }
is_running() { [[ -e "$PLACE/$1.pid" ]] && kill -0 "$(pid_of "$1")" 2>/dev/null; }

# stop NAME [SIGNAL]: sends it (TERM), waits until it has ended, returns its exit status.  Call it
# as it is: within `run`, a subshell, nobody can wait for the child of the test.
stop() {
  local name=$1 pid status=0
  pid=$(pid_of "$name")
  kill -s "${2:-TERM}" "$pid" 2>/dev/null || true
  wait_until 30 has_ended "$pid" || return 1
  { wait "$pid" || status=$?; } 2>/dev/null
  rm -f "$PLACE/$name.pid"
  return "$status"
}

# A child that has ended is a zombie until it is waited for, and kill -0 still finds it.
has_ended() {
  local state
  state=$(ps -o stat= -p "$1" 2>/dev/null) || return 0
  [[ "$state" == Z* ]]
}

# For teardown: ends what is still running, by its pid, and shows the logs of a failed test.
stop_all() {
  local file name
  for file in "${PLACE:-/nonexistent}"/*.pid; do
    [[ -e "$file" ]] || continue
    { kill -s KILL "$(cat "$file")" && wait "$(cat "$file")"; } 2>/dev/null || true
  done
  [[ -z "${BATS_TEST_COMPLETED:-}" ]] || return 0
  for file in "${PLACE:-/nonexistent}"/*.log; do
    [[ -e "$file" ]] || continue
    name=$(basename "$file")
    printf -- '---- the last lines of %s\n' "$name" >&2
    tail -n 20 "$file" >&2
  done
}

# A port of the loopback interface that nobody had a moment ago.
free_port() {
  python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# start_sandbox OPTIONS...: the rehearsal services, journals in $PLACE/journals; sets SANDBOX_URL.
start_sandbox() {
  rm -f "$PLACE/sandbox.port"
  start sandbox vouch-sandbox --port "${SANDBOX_PORT:-0}" --port-file "$PLACE/sandbox.port" \
    --journal-dir "$PLACE/journals" "$@"
  wait_until 10 test -s "$PLACE/sandbox.port"
  SANDBOX_PORT=$(cat "$PLACE/sandbox.port")
  export SANDBOX_PORT SANDBOX_URL=http://127.0.0.1:$SANDBOX_PORT
}

# start_vouchd OPTIONS...: the daemon on $VOUCH_STORE, once it is ready; sets ADMIN_URL.
start_vouchd() {
  rm -f "$PLACE/vouchd.port"
  start vouchd vouchd --admin-listen 127.0.0.1:0 --admin-port-file "$PLACE/vouchd.port" "$@"
  wait_until 20 test -s "$PLACE/vouchd.port"
  ADMIN_URL=http://127.0.0.1:$(cat "$PLACE/vouchd.port")
  export ADMIN_URL
  wait_until 20 curl --silent --fail "$ADMIN_URL/readyz"
}

# assert_contains TEXT PART: fails showing both.
assert_contains() {
  [[ "$1" == *"$2"* ]] && return 0
  printf 'expected to find: %s\nin: %s\n' "$2" "$1" >&2
  return 1
}

# assert_equal WANT GOT
assert_equal() {
  [[ "$1" == "$2" ]] && return 0
  printf 'want: %s\ngot:  %s\n' "$1" "$2" >&2
  return 1
}

# json EXPRESSION: jq over the output of the last `run`.
# shellcheck disable=SC2154  # bats sets it
json() { jq -r "$1" <<<"$output"; }

# run_crontab FILE [NAME=VALUE...]: runs the one line of a crontab as cron does: no terminal, no
# input, a nearly empty environment, the file's own variables, `\%` read as `%`.
run_crontab() {
  local file=$1 line settings=() command
  shift
  while IFS= read -r line; do
    [[ "$line" =~ ^[A-Z_]+= ]] && settings+=("$line")
  done <"$file"
  command=$(crontab_command "$file")
  env -i HOME="$PLACE" LOGNAME=cron "${settings[@]}" "$@" /bin/sh -c "$command" </dev/null 3>&-
}

# The command of a crontab that has one line: five fields of time are taken off.
crontab_command() {
  local command
  command=$(grep -E '^[0-9*@]' "$1" | sed -E 's/^(\S+\s+){5}//; s/\\%/%/g')
  [[ -n "$command" && "$command" != *$'\n'* ]] || return 1
  printf '%s\n' "$command"
}
