#!/usr/bin/env bash
# locks.sh: what locks in a Redis cost: P8.  Called by run.sh.
#
#   tests/bench/locks.sh [--rounds N] [--rows N]
#
# Rounds alternate between locks in vouchd itself and in a redis-server on a Unix socket; the
# figure is the difference of vouchd's processor time, all threads, for 100,000 issuances: the
# median of the rounds' differences, since neighbours on the machine are louder than locks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

rounds=5 rows=100000
while (($# > 0)); do
  case "$1" in
    --rounds) rounds=$2 && shift 2 ;;
    --rows) rows=$2 && shift 2 ;;
    *) printf 'error: unknown argument %s\n' "$1" >&2 && exit 2 ;;
  esac
done
readonly rounds rows in_flight=64
source tests/bench/drain_world.bash

start_redis() {
  taskset -c 0 redis-server --port 0 --unixsocket "$place/redis.sock" --dir "$place" --save '' \
    --appendonly no --daemonize yes --pidfile "$place/redis.pid" >/dev/null
  until redis-cli -s "$place/redis.sock" ping >/dev/null 2>&1; do sleep 0.05; done
}
commands_given() {
  redis-cli -s "$place/redis.sock" info commandstats | sed -n 's/.*_eval:calls=\([0-9]*\).*/\1/p'
}

start_nginx
start_redis
: >"$place/without" && : >"$place/with" && : >"$place/cost"
for ((i = 1; i <= rounds; ++i)); do
  drain "$rows" >>"$place/without"
  drain "$rows" --redis "unix:$place/redis.sock" >>"$place/with"
  paste -d' ' <(tail -n 1 "$place/with") <(tail -n 1 "$place/without") |
    awk '{printf "%.3f %.3f\n", $2 - $5, $1 / $4}' >>"$place/cost"
  printf 'round %d: without %s, with %s, difference %s CPU-s per 100k\n' "$i" \
    "$(tail -n 1 "$place/without" | awk '{printf "%d/s %.2f", $1, $2}')" \
    "$(tail -n 1 "$place/with" | awk '{printf "%d/s %.2f", $1, $2}')" \
    "$(tail -n 1 "$place/cost" | cut -d' ' -f1)" >&2
done
printf 'commands that Redis was given in all: %s\n' "$(commands_given)" >&2

printf '%-34s %14s %14s %10s   %-12s\n' '' figure reference ratio goal
cost=$(column cost 1)
line 'P8 CPU-s per 100k, locks in Redis' "$(column with 2)" "$(column without 2)" "$cost" '<= 0.3' \
  '<=' 0.3
exit $failed
