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
RANDOM=${SEED:-$$}
source tests/campaigns/place.bash
readonly journal=$place/journal/codes.csv

prepare() {
  local i
  start_sandbox --fault lost=0.1%
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

start_daemon() { start_vouchd --retry-first 100ms --retry-max 500ms; }
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
stop_daemon
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
same() { # WANT GOT
  [[ "$1" == "$2" ]] || { printf '      %s, not %s\n' "$2" "$1" && return 1; }
}
verdict 'executions, codes, request ids' same "$rows $rows $rows" "$counted"
verdict 'ordinals in the ledger' same "$rows" \
  "$(ledger_value 'SELECT count(DISTINCT ordinal) FROM issuance WHERE state = 5')"
verdict 'codes with an owner' same "$rows" "$(ledger_value 'SELECT count(*) FROM code')"
verdict 'left' same $((codes - rows)) "$(vouchctl pool show pool -o json | jq .left)"
verdict 'ledger and journals agree' \
  python3 tests/campaigns/judge.py "$ledger" "$place/journal"
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
