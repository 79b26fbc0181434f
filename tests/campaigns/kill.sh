#!/usr/bin/env bash
# kill.sh: kills vouchd with SIGKILL at random moments, again and again, until a job is done, with
# faults on; then judges the ledger by the services' journals.
#
#   tests/campaigns/kill.sh [--contract key|query|none] [--batch N] [COUNT [ROWS]]
#
# Under one contract 20 kills over 20,000 rows unless said; without one under each of the three,
# and under key with 50 issuances in a call.  Under query and none the services forget every key at
# once.  SEED=n repeats the same moments.
#
# Exits 0 only when the proof holds: per request id at most one execution, every accepted row
# accounted for, sums equal, every row held or in doubt listed, and after each kill no more rows in
# doubt than were in flight or ready.  Closes with `N passed, M failed`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [[ "${1:-}" != --contract ]]; then
  [[ "${1:-}" != --batch ]] || { echo 'error: --batch comes after --contract' >&2; exit 2; }
  script=tests/campaigns/$(basename "${BASH_SOURCE[0]}")
  for contract in key query none; do "$script" --contract "$contract" "$@"; done
  exec "$script" --contract key --batch 50 "$@"
fi
contract=${2:?key, query or none}
shift 2
if [[ "${1:-}" == --batch ]]; then
  batch=${2:?how many issuances}
  shift 2
fi
readonly contract count=${1:-20} rows=${2:-20000}
[[ "$count" =~ ^[1-9][0-9]*$ ]] || { printf 'error: "%s" is no count\n' "$count" >&2; exit 2; }
RANDOM=${SEED:-$$}
source tests/campaigns/campaign.bash

# So that the job outlasts the kills: about 0.8 s between two.
prepare $((rows * 10 / (count * 9) + 100))
worst=0 kills=0
for ((i = 1; i <= count; ++i)); do
  start_daemon
  sleep "$(printf '0.%03d' $((RANDOM % 800 + 150)))"
  kill_daemon
  [[ -e "$ledger" ]] || continue
  ((++kills))
  doubt=$(ledger_value 'SELECT ifnull(sum(sending), 0) FROM job_range' || echo 0)
  ((doubt <= worst)) || worst=$doubt
  ! job_is_over || break
done
start_daemon
await 900 job_is_over
stop_daemon

printf 'contract         %s, %d in a call\n' "$contract" "$batch"
printf 'kills            %d\n' "$kills"
printf 'most in doubt    %d after a kill; %d allowed\n' "$worst" "$doubt_max"
judge
verdict 'in doubt after a kill' test "$worst" -le "$doubt_max"
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
