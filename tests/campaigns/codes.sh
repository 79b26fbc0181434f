#!/usr/bin/env bash
# codes.sh: fills a pool, lets eight jobs take codes from it at once, kills vouchd with SIGKILL at
# random moments meanwhile, loses answers, and then counts what was handed out.
#
#   tests/campaigns/codes.sh [ROWS [CODES [KILLS]]]
#
# 20,000 rows, 50,000 codes and 5 kills unless said.  SEED=n repeats the same moments.
#
# Exits 0 only when, by the service's journal and by the ledger, every row has one code, all codes
# are different, and none was taken but for a row.  Closes with `N passed, M failed`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly rows=${1:-20000} codes=${2:-50000} kills=${3:-5} callers=8
readonly bin=${VOUCH_BIN:-$PWD/build/release/bin}
RANDOM=${SEED:-$$}
place=$(mktemp -d "${TMPDIR:-/tmp}/vouch-codes-XXXXXX")
readonly place
export PATH=$bin:$PATH VOUCH_STORE=$place/store VOUCH_POOL_KEY=$place/pool.key
readonly ledger=$VOUCH_STORE/ledger/main/ledger.db journal=$place/journal/codes.csv
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
  local url i
  vouch-sandbox --port 0 --port-file "$place/port" --journal-dir "$place/journal" \
    --fault lost=0.1% >"$place/sandbox.log" 2>&1 &
  sandbox_pid=$!
  await 10 test -s "$place/port"
  url=http://127.0.0.1:$(<"$place/port")
  vouchctl -q init
  vouchctl -q client create shop
  vouchctl -q downstream create codes --kind code --contract key --url "$url/codes" --allow-http \
    --timeout 2s --in-flight 128 --limit 50000/s
  vouchctl -q pool create pool 2>/dev/null
  local before=$EPOCHREALTIME
  vouchctl -q pool generate pool --count "$codes"
  printf 'made             %d codes in %s s\n' "$codes" \
    "$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $before }")"
  { echo recipient_id && seq -f 'u-%.0f' 1 $((rows / callers)); } >"$place/list.csv"
  vouchctl -q recipients import "$place/list.csv" --name everyone
  for ((i = 1; i <= callers; ++i)); do
    printf '{"name":"caller-%d","items":[{"name":"gift","kind":"code","pool":"pool",
      "downstream":"codes"}]}' "$i" >"$place/campaign.json"
    vouchctl -q campaign create "$place/campaign.json"
    vouchctl -q job submit --campaign "caller-$i" --client shop --list everyone \
      --submit-key "caller-$i"
  done
}

start_daemon() {
  vouchd --admin-listen none --retry-first 100ms --retry-max 500ms >>"$place/vouchd.log" 2>&1 &
  daemon_pid=$!
}
kill_daemon() {
  kill -9 "$daemon_pid"
  wait "$daemon_pid" 2>/dev/null || true
  daemon_pid=''
}

ledger_value() { sqlite3 -readonly -cmd '.timeout 5000' "$ledger" "$1"; }
jobs_are_over() {
  [[ "$(ledger_value 'SELECT count(*) FROM job WHERE state = 6')" == "$callers" ]]
}
handed_out() { [[ -e "$journal" ]] && (($(wc -l <"$journal") > $1)); }

prepare
began=$SECONDS
for ((i = 1; i <= kills; ++i)); do
  start_daemon
  # Somewhere in this part of the work.
  await 900 handed_out $((rows * i / (kills + 1) - RANDOM % (rows / (kills + 1) / 2 + 1)))
  kill_daemon
done
start_daemon
await 1800 jobs_are_over
kill "$daemon_pid"
wait "$daemon_pid"
daemon_pid=''
printf 'allocated        %d by %d jobs across %d kills in %d s\n' "$rows" "$callers" "$kills" \
  $((SECONDS - began))

# How many executions, and how many different codes and request ids among them.
counted=$(python3 - "$journal" <<'PYTHON'
import csv, sys
codes, requests, lines = set(), set(), 0
with open(sys.argv[1], newline="") as file:
    for row in csv.DictReader(file):
        lines += 1
        codes.add(row["code"])
        requests.add(row["request_id"])
print(lines, len(codes), len(requests))
PYTHON
)
passed=0 failed=0
verdict() { # WHAT WANT GOT
  if [[ "$2" == "$3" ]]; then ((++passed)); else
    ((++failed)) && printf 'FAIL  %s: %s, not %s\n' "$1" "$3" "$2"
  fi
}
verdict 'executions, codes, request ids' "$rows $rows $rows" "$counted"
verdict 'ordinals in the ledger' "$rows" \
  "$(ledger_value 'SELECT count(DISTINCT ordinal) FROM issuance WHERE state = 5')"
verdict 'codes with an owner' "$rows" "$(ledger_value 'SELECT count(*) FROM code')"
verdict 'left' $((codes - rows)) "$(vouchctl pool show pool -o json | jq .left)"
if python3 tests/campaigns/judge.py "$ledger" "$place/journal" >"$place/verdict.log"; then
  ((++passed))
else
  ((++failed)) && cat "$place/verdict.log"
fi
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
