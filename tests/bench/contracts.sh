#!/usr/bin/env bash
# contracts.sh: what each contract and form of call costs.  Called by run.sh.
#
#   tests/bench/contracts.sh [--rounds N] [--rows N]
#
# The contracts toward nginx, as in drain.sh: `none` has a fresh connection for each call and at
# most 16 in flight.  Batches of 100 toward the sandbox, whose journal is synced, against a call for
# each issuance there.  Rounds are interleaved; medians of rate and of vouchd's processor time, all
# threads, for 100,000 issuances.  There is no goal but that the table can be read.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

rounds=3 rows=100000
while (($# > 0)); do
  case "$1" in
    --rounds) rounds=$2 && shift 2 ;;
    --rows) rows=$2 && shift 2 ;;
    *) printf 'error: unknown argument %s\n' "$1" >&2 && exit 2 ;;
  esac
done
readonly rounds rows in_flight=64
source tests/bench/drain_world.bash

start_sandbox() {
  taskset -c 0 vouch-sandbox --port 0 --port-file "$place/sandbox.port" \
    --journal-dir "$place/journal" >"$place/sandbox.log" 2>&1 &
  printf '%d\n' "$!" >"$place/sandbox.pid"
  until [[ -s "$place/sandbox.port" ]]; do sleep 0.05; done
  sandbox=http://127.0.0.1:$(<"$place/sandbox.port")
}

# Of the way that $way says.
create_downstream() {
  local url=http://127.0.0.1:$port/coupons contract=$way flight=$in_flight more=''
  case "$way" in
    query) more=', "query": {"url": "http://127.0.0.1/{request_id}",
      "outcomes": [{"status": 404, "outcome": "not_found"}]}' ;;
    none) flight=16 ;;
    single) url=$sandbox/coupons contract=key ;;
    batch)
      url=$sandbox/coupons/batch contract=key
      more=', "batch": {"issuances_max": 100, "status_pointer": "/http_status"}'
      ;;
  esac
  printf '{"name": "coupons", "kind": "coupon", "allow_http": true, "url": "%s",
    "contract": "%s", "in_flight_max": %d%s}' "$url" "$contract" "$flight" "$more" \
    >"$place/downstream.json"
  vouchctl -q downstream create --file "$place/downstream.json" --limit 1000000/s
}

readonly ways=(key query none single batch)
start_nginx
start_sandbox
for ((i = 1; i <= rounds; ++i)); do
  for way in "${ways[@]}"; do
    submit_options=()
    [[ "$way" != none ]] || submit_options=(--accept-uncertain)
    drain "$rows" >>"$place/$way"
    printf 'round %d: %s %s\n' "$i" "$way" \
      "$(tail -n 1 "$place/$way" | awk '{printf "%d/s, %.2f CPU-s per 100k", $1, $2}')" >&2
  done
done

printf '%-34s %14s %14s %10s\n' '' 'issuances/s' 'CPU-s per 100k' 'rate ratio'
for way in "${ways[@]}"; do
  against=key
  [[ "$way" != single && "$way" != batch ]] || against=single
  printf '%-34s %14.0f %14.2f %10.2f\n' "$way (against $against)" "$(column "$way" 1)" \
    "$(column "$way" 2)" "$(awk -v a="$(column "$way" 1)" -v b="$(column "$against" 1)" \
      'BEGIN {print a / b}')"
done
