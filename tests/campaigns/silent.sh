#!/usr/bin/env bash
# silent.sh: COUNT calls are executed and never answered while a job is drained; vouchd is stopped
# and started in the middle of them; then judges the ledger by the services' journals.
#
#   tests/campaigns/silent.sh [--contract key|query|none] [COUNT]
#
# COUNT is 100 when absent, and without a contract each of the three has its turn.  Under query and
# none the services forget every key at once, so that a second call is a second effect.
#
# Exits 0 only when the proof of kill.sh holds, each silent call has left its trace, every row in
# doubt was listed at the stop, and at the end the doubt is settled: under key by repeats, under
# query by asking; under none every row whose call was not answered is held, and listed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [[ "${1:-}" != --contract ]]; then
  for contract in key query none; do
    "tests/campaigns/$(basename "${BASH_SOURCE[0]}")" --contract "$contract" "$@"
  done
  exit
fi
readonly contract=${2:?key, query or none} count=${3:-100}
[[ "$count" =~ ^[1-9][0-9]*$ ]] || { printf 'error: "%s" is no count\n' "$count" >&2; exit 2; }
# Of a fifth of the calls the answer is lost, half of them at each service: no breaker opens, and
# the rows outlast the silence.
readonly rows=$((count * 4 + 200)) coupons=$((count / 2))
source tests/campaigns/campaign.bash
faults=(--fault "coupons:lost=20%,count=$coupons"
  --fault "balances:lost=20%,count=$((count - coupons))")
timeout_ms=500

silent() { curl -sS --fail "$url/faults" | jq '[.[].faults[]? | .fired] | add'; }
has_been_silent() { (($(silent) >= $1)); }
of_state() { ledger_value "SELECT ifnull(sum($1), 0) FROM job_range"; }

prepare 2000
start_daemon
await 300 has_been_silent $(((count + 1) / 2))
stop_daemon
doubtful=$(($(of_state in_doubt) + $(of_state held)))
verdict 'there is doubt at the stop' test "$doubtful" -gt 0
verdict 'every doubtful row is listed at the stop' all_are_listed
start_daemon
await 900 job_is_over
stop_daemon

printf 'contract         %s\n' "$contract"
printf 'silent calls     %d, %d of their rows doubtful at a stop in the middle\n' \
  "$(silent)" "$doubtful"
verdict 'so many calls were silent' test "$(silent)" -eq "$count"
# Now and then a call that would have been answered is too slow.
unknown=$(ledger_value 'SELECT count(*) FROM event WHERE kind = 1 AND outcome = 3 AND sends > 0')
verdict 'each silent call left its trace' test "$unknown" -ge "$count"
verdict 'nothing is in doubt any more' test "$(of_state in_doubt)" = 0
case "$contract" in
  none) verdict 'each silent row is held' test "$(of_state held)" = "$unknown" ;;
  *) verdict 'no row is held' test "$(of_state held)" = 0 ;;
esac
judge
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
