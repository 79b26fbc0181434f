#!/usr/bin/env bash
# reconcile.sh: a ledger against a statement of the same size, in flat memory.
#
#   tests/bench/reconcile.sh [--rows N] [--goal-kib N]
#
#   --rows      issued rows of the ledger, and lines of the statement (1,000,000)
#   --goal-kib  most memory, as PSS (524,288: 512 MiB)
#
# The statement is in another order, lacks one row and has one that is off by a cent: both must be
# found.  Prints rows and lines a second, processor seconds and the largest PSS seen.  Exits 0 when
# the memory stays below its goal, else 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PATH=${VOUCH_BIN:-$PWD/build/release/bin}:$PATH

rows=1000000
goal_kib=524288
while (($# > 0)); do
  case "$1" in
    --rows) rows=${2:-} ;;
    --goal-kib) goal_kib=${2:-} ;;
    *)
      sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
      exit 2
      ;;
  esac
  (($# > 1)) || exit 2
  shift 2
done
# The statement's order is a walk by a prime: it must not divide the rows.
[[ "$rows" =~ ^[0-9]+$ ]] && ((rows >= 100 && rows % 7368787 != 0)) || exit 2

work=$(mktemp -d "${TMPDIR:-/var/tmp}/vouch-reconcile-bench-XXXXXX")
declare -a pids=()
end() {
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap end EXIT
export VOUCH_STORE=$work/store TMPDIR=$work TZ=UTC

# A store with one drained job of one row.
make_ledger() {
  vouch-sandbox --port 0 --port-file "$work/port" --journal-dir "$work/journals" >/dev/null 2>&1 &
  pids+=($!)
  until [[ -s "$work/port" ]]; do sleep 0.1; done
  local url
  url=http://127.0.0.1:$(cat "$work/port")
  vouchctl -q init
  vouchctl -q downstream create coupons --kind coupon --contract key --allow-http \
    --url "$url/coupons" --limit 1000/s
  vouchctl -q client create shop
  vouchctl -q campaign create tests/bench/campaign.json
  printf 'recipient_id\ncust-1\n' >"$work/list.csv"
  vouchctl -q job submit --campaign bench --client shop --file "$work/list.csv" --submit-key bench
  vouchd --admin-listen none >/dev/null 2>&1 &
  pids+=($!)
  vouchctl -q job wait bench --timeout 60s
  kill "${pids[1]}" && wait "${pids[1]}" || true
  curl -sS --fail "$url/coupons/statement.csv" >"$work/statement.csv"
}

make_ledger
campaign=$(vouchctl campaign show bench -o json | jq -r .id)
job=$(vouchctl job show bench -o json | jq -r .id)
tests/bench/reconcile_world.py "$VOUCH_STORE/ledger/main/ledger.db" "$campaign" "$job" "$rows" \
  "$work/statement.csv"

TIMEFORMAT='%R %U %S'
{ time {
  vouchctl reconcile coupons --statement "$work/statement.csv" --cut-off now -o json \
    --report "$work/report.json" >"$work/out.json" &
  pid=$!
  pss_kib=0
  while now=$(awk '/^Pss:/ {print $2}' "/proc/$pid/smaps_rollup" 2>/dev/null) && [[ -n "$now" ]]; do
    ((now <= pss_kib)) || pss_kib=$now
    sleep 0.1
  done
  status=0
  wait "$pid" || status=$?
  printf '%d %d\n' "$pss_kib" "$status" >"$work/end"
}; } 2>"$work/time"
read -r pss_kib status <"$work/end"
read -r seconds user system < <(tail -1 "$work/time")

found=$(jq -r '[.rows[].class] | sort | join(" ")' "$work/report.json")
proved=$(jq .proved "$work/out.json")
if [[ "$status $found $proved" != "3 differs lost true" ]]; then
  printf 'wrong: exit %s, found "%s"\n' "$status" "$found" >&2
  exit 1
fi
word=met
((pss_kib <= goal_kib)) || word=MISSED
awk -v n="$rows" -v s="$seconds" -v u="$user" -v y="$system" 'BEGIN {
  printf "reconcile %d rows x %d lines: %.0f rows/s, %.1f s, %.1f processor seconds\n",
    n, n, n / s, s, u + y }'
printf 'memory: PSS %d KiB, goal <= %d KiB: %s\n' "$pss_kib" "$goal_kib" "$word"
[[ "$word" == met ]]
