#!/usr/bin/env bash
# run.sh: measures Vouch against the goals it was built for.
#
#   tests/bench/run.sh drain [--rounds N] [--rows N] [--large N]   P1 to P4
#   tests/bench/run.sh import [...]                                P5, see tests/bench/import.sh
#   tests/bench/run.sh locks [--rounds N] [--rows N]               P8
#   tests/bench/run.sh contracts [--rounds N] [--rows N]           key, query, none, batches
#   tests/bench/run.sh reconcile [--rows N]                        512 MiB for any number of rows
#
# Prints each figure, the reference of the same run, the ratio and the goal; exits 0 when all goals
# are met, else 1.  Machines are shared and noisy: rounds are interleaved with the reference and
# medians are taken.  Nothing here is part of CI.  Installs what it measures against.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
case "${1:-}" in
  contracts | drain | import | locks | reconcile) what=$1 && shift ;;
  *)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
scripts/install-packages.sh --bench
if [[ -z "${VOUCH_BIN:-}" ]]; then
  cmake --preset release >/dev/null
  cmake --build build/release --target vouchctl vouchd vouch-sandbox make-recipients import-bench |
    { grep -E 'error|FAILED' || true; }
  export VOUCH_BIN=$PWD/build/release/bin
fi
exec "tests/bench/$what.sh" "$@"
