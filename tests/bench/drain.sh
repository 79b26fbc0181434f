#!/usr/bin/env bash
# drain.sh: the whole daemon against wrk, on the same nginx in the same minute (P1 to P4).
#
#   tests/bench/run.sh drain [--rounds N] [--rows N] [--large N]
#
# nginx: one worker on core 0, answers 200 with JSON that echoes the Idempotency-Key, so that
# vouchd checks its evidence as in earnest.  wrk and vouchd: on core 1, 64 calls in flight.  vouchd
# with ledger FULL, intents durable before the call, pacer on with a rate out of reach.
# Rate: from the job's start to its end.  CPU: all threads of the process.  Memory: PSS at its
# highest, sampled.  --large (1,000,000) is compared with --rows (100,000) for growth.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

rounds=5 rows=100000 large=1000000
while (($# > 0)); do
  case "$1" in
    --rounds) rounds=$2 && shift 2 ;;
    --rows) rows=$2 && shift 2 ;;
    --large) large=$2 && shift 2 ;;
    *) printf 'error: unknown argument %s\n' "$1" >&2 && exit 2 ;;
  esac
done
readonly rounds rows large in_flight=64 seconds=4
source tests/bench/drain_world.bash

# wrk's calls per second.
run_wrk() {
  taskset -c 1 wrk -t1 -c$in_flight -d${seconds}s -s "$place/call.lua" "http://127.0.0.1:$port/" |
    awk '/^Requests\/sec/ {print $2}'
}

start_nginx
run_wrk >/dev/null # warm
: >"$place/wrk" && : >"$place/small" && : >"$place/tiny"
for ((i = 1; i <= rounds; ++i)); do
  run_wrk >>"$place/wrk"
  drain "$rows" >>"$place/small"
  printf 'round %d: wrk %s/s, vouchd %s\n' "$i" "$(tail -n 1 "$place/wrk")" \
    "$(tail -n 1 "$place/small" |
      awk '{printf "%d/s, %.2f CPU-s per 100k, %d KiB", $1, $2, $3}')" >&2
done
drain 10000 >"$place/tiny"
drain "$large" >"$place/large"

wrk=$(median <"$place/wrk")
rate=$(column small 1) cpu=$(column small 2) pss=$(column small 3)
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.3f", a / b}'; }
printf '%-34s %14s %14s %10s   %-12s\n' '' figure reference ratio goal
line 'P1 drain, calls/s against wrk' "$rate" "$wrk" "$(ratio "$rate" "$wrk")" '>= 0.35' '>=' 0.35
line 'P2 CPU-s per 100k issuances' "$cpu" - "$cpu" '<= 2.0' '<=' 2.0
for size in tiny small large; do
  line "P3 PSS KiB, $size list" "$(column $size 3)" - "$(column $size 3)" '<= 32768' '<=' 32768
done
line "P4 CPU at $large against $rows" "$(column large 2)" "$cpu" \
  "$(ratio "$(column large 2)" "$cpu")" '<= 1.10' '<=' 1.10
line "P4 rate at $large against $rows" "$(column large 1)" "$rate" \
  "$(ratio "$(column large 1)" "$rate")" '>= 0.90' '>=' 0.90
exit $failed
