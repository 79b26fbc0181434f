#!/usr/bin/env bash
# kill.sh: kills vouchd with SIGKILL at random moments, again and again, until a job is done, with
# faults on; then judges the ledger by the services' journals.
#
#   tests/campaigns/kill.sh [--contract key|query|none] [COUNT [ROWS]]
#
# Without a contract: 20 kills over 20,000 rows under key, then 5 over 5,000 each under query and
# none, where the services forget every key at once.  SEED=n repeats the same moments.
#
# Exits 0 only when the proof holds: per request id at most one execution, every accepted row
# accounted for, sums equal, every row held or in doubt listed, and after each kill no more rows in
# doubt than were in flight or ready.  Closes with `N passed, M failed`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [[ "${1:-}" != --contract ]]; then
  script=tests/campaigns/$(basename "${BASH_SOURCE[0]}")
  (($# > 0)) && exec "$script" --contract key "$@"
  "$script" --contract key && "$script" --contract query 5 5000 &&
    "$script" --contract none 5 5000
  exit
fi
readonly contract=${2:?key, query or none} count=${3:-20} rows=${4:-20000}
readonly bin=${VOUCH_BIN:-$PWD/build/release/bin}
in_flight=64
definition=(--contract "$contract")
sandbox=() submission=()
case "$contract" in
  key) ;;
  query)
    sandbox=(--keys-max 0)
    definition+=(--settle-time 2s)
    ;;
  none)
    in_flight=16
    sandbox=(--keys-max 0)
    submission=(--accept-uncertain)
    ;;
  *) printf 'error: no contract "%s"\n' "$contract" >&2 && exit 2 ;;
esac
readonly in_flight sandbox submission
RANDOM=${SEED:-$$}
place=$(mktemp -d "${TMPDIR:-/tmp}/vouch-kill-XXXXXX")
readonly place
export PATH=$bin:$PATH VOUCH_STORE=$place/store
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

prepare() {
  # So that the job outlasts the kills: about 0.8 s between two.
  local rate=$((rows * 10 / (count * 9) + 100))
  vouch-sandbox --port 0 --port-file "$place/port" --journal-dir "$place/journal" \
    --latency median=8ms,p99=80ms --fault lost=0.2% --fault error=0.5% --fault closed=0.2% \
    --fault reset=0.2% --fault throttled=0.2% --refusals 0.5% "${sandbox[@]}" \
    >"$place/sandbox.log" 2>&1 &
  sandbox_pid=$!
  await 10 test -s "$place/port"
  local url
  url=http://127.0.0.1:$(<"$place/port")
  vouchctl -q init
  printf '[{"status": 404, "pointer": "/code", "value": "NOT_FOUND", "outcome": "not_found"}]\n' \
    >"$place/query.json"
  local kind ask
  for kind in coupon balance; do
    ask=()
    [[ "$contract" != query ]] || ask=(--query-url "$url/${kind}s/{request_id}"
      --query-outcomes "$place/query.json")
    vouchctl -q downstream create "${kind}s" --kind $kind "${definition[@]}" "${ask[@]}" \
      --url "$url/${kind}s" --allow-http --timeout 1s --in-flight $in_flight --limit "$rate/s" \
      --outcomes examples/outcomes-sandbox.json
  done
  vouchctl -q client create shop --lane internal
  vouchctl -q campaign create examples/campaigns/spring.json
  make-recipients --rows "$rows" >"$place/partner.csv"
  vouchctl -q job submit --campaign spring --file "$place/partner.csv" --amount-unit minor \
    --client shop --submit-key kill "${submission[@]}"
  # Rows in flight at both services, and those that are ready: at most half a second of the rate.
  doubt_max=$((2 * in_flight + rate))
  [[ "$contract" != none ]] || doubt_max=64  # 16 and 16 at each
}

start_daemon() {
  vouchd --admin-listen none --query-apart 1s >>"$place/vouchd.log" 2>&1 &
  daemon_pid=$!
}

ledger_value() { sqlite3 -readonly -cmd '.timeout 5000' "$ledger" "$1"; }
job_is_over() { [[ "$(ledger_value 'SELECT count(*) FROM job WHERE state IN (5, 6)')" == 1 ]]; }

# Each row that the ledger has as held or in doubt stands in the list that operators see.
all_are_listed() {
  local state
  for state in held in_doubt; do
    vouchctl issuance list --job kill --state $state --limit 0 -o ndjson >"$place/listed"
    [[ "$(ledger_value "SELECT ifnull(sum($state), 0) FROM job_range")" == \
      "$(wc -l <"$place/listed")" ]] || return 1
  done
}

prepare
worst=0 kills=0
for ((i = 1; i <= count; ++i)); do
  start_daemon
  sleep "$(printf '0.%03d' $((RANDOM % 800 + 150)))"
  kill -9 "$daemon_pid"
  wait "$daemon_pid" 2>/dev/null || true
  daemon_pid=''
  [[ -e "$ledger" ]] || continue
  ((++kills))
  doubt=$(ledger_value 'SELECT ifnull(sum(sending), 0) FROM job_range' || echo 0)
  ((doubt <= worst)) || worst=$doubt
  ! job_is_over || break
done
start_daemon
await 900 job_is_over
kill "$daemon_pid"
wait "$daemon_pid"
daemon_pid=''

printf 'contract         %s\n' "$contract"
printf 'kills            %d\n' "$kills"
printf 'most in doubt    %d after a kill; %d allowed\n' "$worst" "$doubt_max"
passed=0 failed=0
verdict() { # WHAT COMMAND...
  if "${@:2}" >"$place/verdict.log"; then
    ((++passed))
  else
    ((++failed)) && printf 'FAIL  %s\n' "$1"
  fi
  cat "$place/verdict.log"
}
# Under none what is held may have been executed; nobody but a statement can tell.
open=()
[[ "$contract" != none ]] || open=(--open)
verdict 'ledger and journals agree' \
  python3 tests/campaigns/judge.py "$ledger" "$place/journal" "${open[@]}"
verdict 'every doubtful row is listed' all_are_listed
verdict 'no double in the journals' vouch-sandbox check-journal "$place/journal"
verdict 'in doubt after a kill' test "$worst" -le "$doubt_max"
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
