#!/usr/bin/env bash
# failpoints.sh: lets the programs die at every moment that matters, again and again, while a job
# is drained with faults on, a list is imported and codes are exported; then judges the ledger by
# the services' journals and by the exported files.
#
#   tests/campaigns/failpoints.sh [--contract key|query|none] [--only BEGINNING] [COUNT]
#
# Each failpoint COUNT times (2), under key or the contract named; only those whose name begins so.
# An export calls nobody: its failpoints are tried under key alone.  Needs programs that have
# failpoints (the presets debug, asan and tsan) in VOUCH_BIN.  The failpoints are read from the
# source: a new one is tried without being written down here.  SEED=n repeats the same moments.
#
# Exits 0 only when each was reached and the proof of kill.sh holds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

contract=key only=''
while [[ "${1:-}" == --* ]]; do
  case "$1" in
    --contract) contract=${2:?key, query or none} ;;
    --only) only=${2:?how the names begin} ;;
    *) printf 'error: no option "%s"\n' "$1" >&2 && exit 2 ;;
  esac
  shift 2
done
readonly contract only count=${1:-2}
[[ "$count" =~ ^[1-9][0-9]*$ ]] || { printf 'error: "%s" is no count\n' "$count" >&2; exit 2; }
left_out='^$'
[[ "$contract" == key ]] || left_out='^export-'
names_in() { # FOLDER...: that are wanted
  grep -rhoE 'failpoint[a-z_]*\("[a-z-]+"\)' "$@" | grep -oE '"[a-z-]+"' | tr -d '"' | sort -u |
    grep "^$only" | grep -v "$left_out" || true
}
mapfile -t names < <(names_in common daemon cli)
mapfile -t daemon_names < <(names_in common daemon | grep -vE '^(import|export)-')
mapfile -t import_names < <(names_in common | grep '^import-')
mapfile -t vouchctl_exports < <(names_in cli | grep '^export-')
mapfile -t vouchd_exports < <(names_in daemon | grep '^export-')
readonly names daemon_names import_names vouchctl_exports vouchd_exports
((${#names[@]} > 0)) || { printf 'error: no failpoint begins with "%s"\n' "$only" >&2; exit 2; }
# A life lasts about half a second; the job must outlast them all.
readonly calls_per_second=600 lives=$((${#daemon_names[@]} * count))
readonly rows=$((lives * calls_per_second / 3 + 1000))
RANDOM=${SEED:-$$}
source tests/campaigns/campaign.bash
source tests/campaigns/exports.bash
not_reached=()
lists=0 # that were made: no two with the same rows

has_failpoints() {
  local status=0
  (VOUCH_FAILPOINT=import-row:1 exec vouchctl -q recipients import "$place/partner.csv" \
    --name probe --amount-unit minor --dry-run) >"$place/import.log" 2>&1 || status=$?
  ((status == 137))
}

# An import and a submission that die on their way, and the same line run again: one list, one job.
die_while_importing() {
  local name i key nth
  for name in "${import_names[@]}"; do
    for ((i = 0; i < count; ++i)); do
      key=$name-$i nth=1
      [[ "$name" != import-row ]] || nth=$((RANDOM % 300 + 1))
      make-recipients --rows 300 --seed $((++lists)) >"$place/$key.csv"
      local line=(vouchctl -q recipients import "$place/$key.csv" --amount-unit minor
        --name "$key")
      local status=0
      (VOUCH_FAILPOINT=$name:$nth exec "${line[@]}") >>"$place/import.log" 2>&1 || status=$?
      ((status == 137)) || not_reached+=("$name")
      "${line[@]}" && "${line[@]}"
      verdict "one list $key" test 1 = "$(vouchctl recipients list -o json |
        jq --arg name "$key" '[.[] | select(.name == $name)] | length')"
    done
  done
  verdict 'no unfinished import is left' test 0 = \
    "$(find "$VOUCH_STORE/recipients" -name '.*' -mindepth 1 | wc -l)"
}

# die_at NAME: until the daemon has died there, at a random time that it comes by.
die_at() {
  local name=$1 nth=$((RANDOM % 40 + 1)) guard
  case "$name" in
    checkpointing | anchor-* | connecting | half-reply) nth=1 ;;
    command-*)
      nth=1
      vouchctl -q job pause kill --no-wait --reason "failpoint $name" 2>/dev/null
      vouchctl -q job resume kill --no-wait 2>/dev/null
      ;;
  esac
  VOUCH_FAILPOINT=$name:$nth start_daemon
  (sleep 20 && touch "$place/guard" && kill -9 "$daemon_pid") 2>/dev/null &
  guard=$!
  wait "$daemon_pid" 2>/dev/null || true
  kill "$guard" 2>/dev/null || true
  wait "$guard" 2>/dev/null || true
  daemon_pid=''
  [[ ! -e "$place/guard" ]] || not_reached+=("$name")
  rm -f "$place/guard"
}

die_while_draining() {
  local i name
  for ((i = 0; i < count; ++i)); do
    for name in "${daemon_names[@]}"; do die_at "$name"; done
  done
  start_daemon
  await 900 job_is_over
  stop_daemon
}

prepare "$calls_per_second" --fault slow=2%
has_failpoints || { printf 'error: no failpoints in %s\nhint: build the preset debug or asan\n' \
  "$bin" >&2; exit 2; }
((${#import_names[@]} == 0)) || die_while_importing
((${#vouchctl_exports[@]} + ${#vouchd_exports[@]} == 0)) || die_while_exporting
((${#daemon_names[@]} == 0)) || die_while_draining

printf 'contract         %s\nfailpoints       %d, %d times each\n' \
  "$contract" "${#names[@]}" "$count"
verdict "every failpoint is reached ${not_reached[*]}" test ${#not_reached[@]} = 0
((${#daemon_names[@]} == 0)) || judge
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
