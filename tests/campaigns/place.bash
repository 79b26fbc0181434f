# place.bash: a folder of a campaign's own, and what runs in it: one sandbox, one vouchd.
#
# Needs the folder of the programs in VOUCH_BIN.  What is started is stopped, by its pid, when the
# campaign ends; the folder is kept, and named, when it failed.
# shellcheck shell=bash disable=SC2034  # the campaigns use them
readonly bin=${VOUCH_BIN:-$PWD/build/release/bin}
place=$(mktemp -d "${TMPDIR:-/tmp}/vouch-campaign-XXXXXX")
readonly place
export PATH=$bin:$PATH VOUCH_STORE=$place/store VOUCH_POOL_KEY=$place/pool.key
readonly ledger=$VOUCH_STORE/ledger/main/ledger.db
sandbox_pid='' daemon_pid=''

clean_up() {
  local status=$?
  [[ -z "$daemon_pid" ]] || kill -9 "$daemon_pid" 2>/dev/null || true
  [[ -z "$sandbox_pid" ]] || kill "$sandbox_pid" 2>/dev/null || true
  wait 2>/dev/null || true
  if ((status == 0)); then rm -rf "$place"; else printf 'kept for a look: %s\n' "$place" >&2; fi
}
trap clean_up EXIT

await() { # SECONDS COMMAND...: until it succeeds
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < until)) || { printf 'error: still not true: %s\n' "$*" >&2 && return 1; }
    sleep 0.05
  done
}

start_sandbox() { # [OPTIONS...]: the services, at $url
  vouch-sandbox --port 0 --port-file "$place/port" --journal-dir "$place/journal" "$@" \
    >"$place/sandbox.log" 2>&1 &
  sandbox_pid=$!
  await 10 test -s "$place/port"
  url=http://127.0.0.1:$(<"$place/port")
}

start_vouchd() { # [OPTIONS...]
  vouchd --admin-listen none "$@" >>"$place/vouchd.log" 2>&1 &
  daemon_pid=$!
}
kill_daemon() {
  kill -9 "$daemon_pid"
  wait "$daemon_pid" 2>/dev/null || true
  daemon_pid=''
}
stop_daemon() {
  kill "$daemon_pid"
  wait "$daemon_pid"
  daemon_pid=''
}

ledger_value() { sqlite3 -readonly -cmd '.timeout 5000' "$ledger" "$1"; }

# verdict WHAT COMMAND...: counts in `passed` and `failed`, and says what is wrong.
passed=0 failed=0
verdict() {
  if "${@:2}" >"$place/verdict.log"; then
    ((++passed))
  else
    ((++failed)) && printf 'FAIL  %s\n' "$1"
  fi
  cat "$place/verdict.log"
}
