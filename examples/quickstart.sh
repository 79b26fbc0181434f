#!/usr/bin/env bash
# quickstart.sh: the main job, whole: a partner's CSV becomes coupons and balance credits from two
# real HTTP services, with faults, and the services' own journals prove that nothing was lost and
# nothing issued twice.
#
#   examples/quickstart.sh [ROWS]     100,000 rows unless said otherwise
#   KEEP=1 examples/quickstart.sh     leaves daemon and services running, to play with
#
# Installs what is missing (Debian 12), builds, and works in a folder of its own under /tmp.
# Nothing outside that folder and build/ is touched, but for the packages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly rows=${1:-100000}
readonly bin=$PWD/build/release/bin
place=$(mktemp -d "${TMPDIR:-/tmp}/vouch-quickstart-XXXXXX")
readonly place
pids=()

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() { # shows a command as one would type it, then runs it
  printf '\033[2m$ %s\033[0m\n' "$*"
  "$@"
}

clean_up() {
  local status=$?
  if [[ -n "${KEEP:-}" && $status == 0 ]]; then
    say "still running (KEEP=1)"
    printf 'store      export VOUCH_STORE=%s\n' "$VOUCH_STORE"
    printf 'programs   export PATH=%s:$PATH\n' "$bin"
    printf 'services   http://127.0.0.1:%s (GET /stats, PUT /faults)\n' "$port"
    printf 'to stop    kill %s; rm -r %s\n' "${pids[*]}" "$place"
    return
  fi
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  if ((status == 0)); then rm -rf "$place"; else printf '\nlogs are in %s\n' "$place" >&2; fi
}
trap clean_up EXIT

wait_for() { # FILE: until it is there, ten seconds at most
  local i
  for ((i = 0; i < 100; ++i)); do
    [[ -s "$1" ]] && return
    sleep 0.1
  done
  printf 'error: %s did not come; see the logs\n' "$1" >&2
  exit 1
}

say "packages and build"
scripts/install-packages.sh --build
cmake --preset release -DVOUCH_BUILD_TESTS=OFF -B build/release >"$place/cmake.log" 2>&1 ||
  { cat "$place/cmake.log" >&2 && exit 1; }
cmake --build build/release --target vouchctl vouchd vouch-sandbox make-recipients |
  { grep -E 'error|FAILED' || true; }
export PATH=$bin:$PATH VOUCH_STORE=$place/store
readonly started=$SECONDS

say "two services with faults: latency, 0.3 % errors, 0.1 % answers lost after execution"
vouch-sandbox --port 0 --port-file "$place/port" --journal-dir "$place/journal" \
  --latency median=4ms,p99=30ms --fault lost=0.1% --fault error=0.3% --refusals 0.2% \
  >"$place/sandbox.log" 2>&1 &
pids+=($!)
wait_for "$place/port"
port=$(<"$place/port")

say "describe: services, a client, a campaign"
run vouchctl init
for kind in coupon balance; do
  run vouchctl downstream create "${kind}s" --kind "$kind" --contract key \
    --url "http://127.0.0.1:$port/${kind}s" --allow-http --timeout 1s --in-flight 256 \
    --limit 20000/s --outcomes examples/outcomes-sandbox.json
done
run vouchctl client create shop --lane internal
run vouchctl campaign create examples/campaigns/spring.json

say "the daemon"
vouchd --admin-listen 127.0.0.1:0 --admin-port-file "$place/admin" >"$place/vouchd.log" 2>&1 &
pids+=($!)
wait_for "$place/admin"

say "import a partner's file: $rows rows, some of them bad, some twice"
make-recipients --rows "$rows" --bad 0.3% --duplicates 0.5% >"$place/partner.csv"
run vouchctl recipients import "$place/partner.csv" --name spring-list --campaign spring \
  --amount-unit minor --on-error skip

say "submit the job and wait"
readonly submitted=$SECONDS
run vouchctl job submit --campaign spring --list spring-list --client shop \
  --submit-key quickstart-1 -o name | tee "$place/job"
job=$(tail -n 1 "$place/job")
run vouchctl job wait "$job" --timeout 10m --tolerate declined=1% || status=$?
printf 'drained in about %d s\n' "$((SECONDS - submitted))"

say "what happened"
run vouchctl job show "$job"
run vouchctl downstream list

say "the proof, from the services' own journals"
run vouch-sandbox check-journal "$place/journal"
vouchctl job results "$job" -o csv >"$place/results.csv"
python3 examples/prove.py "$place/results.csv" "$place/journal"
printf '\n%d s after the build.  Again: run it again; to play: KEEP=1 examples/quickstart.sh\n' \
  "$((SECONDS - started))"
exit "${status:-0}"
