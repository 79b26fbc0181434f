#!/usr/bin/env bash
# run.sh: installs what is missing, builds, and runs every test of the project.
#
#   tests/run.sh [--only STAGE,...] [--count N]
#
#   --only    the stages to run; the build is done in any case
#             style       layers, banned calls, lengths, documents       (tests/style)
#             unit        unit and conformance tests                     (CTest)
#             simulation  the seeded simulation                          (CTest)
#             e2e         end-to-end tests of the built programs         (bats)
#             campaigns   whole campaigns, with kills and faults         (tests/campaigns)
#             asan        unit, simulation, short end-to-end under address and undefined, and a
#                         campaign that dies at every failpoint
#             tsan        unit, short end-to-end under the thread sanitizer
#   --count   seeds of the simulation (200; a tenth of it under the sanitizers)
#
# One line per stage; a failed one shows the end of its log, which stays in build/logs/.  The last
# line is the sum, `N passed, M failed`: doctest cases, bats tests, style checks, campaigns, and
# one failure for whatever could not be built or did not end.  Exit status 0 only when something
# ran and nothing failed.  Needs no terminal and no standard input.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
exec </dev/null

readonly all_stages=(style unit simulation e2e campaigns asan tsan)
readonly jobs=2
readonly stage_seconds_max=1200
readonly failed_log_lines=60
readonly logs=$PWD/build/logs

stages=("${all_stages[@]}")
seeds=200
total_passed=0
total_failed=0

usage_error() {
  printf 'error: %s\nhint: see the head of tests/run.sh\n' "$1" >&2
  exit 2
}

parse_arguments() {
  while (($# > 0)); do
    case "$1" in
      --only)
        IFS=, read -r -a stages <<<"${2:-}"
        local stage
        for stage in "${stages[@]}"; do
          [[ " ${all_stages[*]} " == *" $stage "* ]] || usage_error "no stage '$stage'"
        done
        ((${#stages[@]} > 0)) || usage_error "--only needs a stage"
        shift
        ;;
      --count)
        [[ "${2:-}" =~ ^[1-9][0-9]*$ ]] || usage_error "--count needs a number above zero"
        seeds=$2
        shift
        ;;
      -h | --help)
        sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
      *) usage_error "unknown argument '$1'" ;;
    esac
    shift
  done
}

wanted() { [[ " ${stages[*]} " == *" $1 "* ]]; }

# report NAME SECONDS PASSED FAILED LOG: one line, and the end of the log if something failed.
report() {
  local name=$1 seconds=$2 passed=$3 failed=$4 log=$5 word=ok
  ((failed == 0)) || word=FAIL
  ((total_passed += passed, total_failed += failed))
  printf '%-4s  %-28s %5d s  %5d passed %4d failed\n' "$word" "$name" "$seconds" "$passed" "$failed"
  ((failed == 0)) || show_failures "$log"
}

# What a reader wants first: the lines that say what failed, then how it ended.
show_failures() {
  local log=$1
  printf '      %s\n' "---- $log"
  grep -aE '^FAIL|^not ok|\*\*\*(Failed|Timeout|Exception|Not Run)|ERROR: |: (fatal )?error: ' \
    "$log" | head -n 20 | sed 's/^/      /'
  printf '      %s\n' "---- its last $failed_log_lines lines"
  tail -n "$failed_log_lines" "$log" | cut -c1-200 | sed 's/^/      /'
  printf '      %s\n' "----"
}

# step NAME COMMAND...: a step that is no test.  Said in one line; counts only when it fails.
step() {
  local name=$1 began=$SECONDS log
  shift
  log=$logs/${name// /-}.log
  if "$@" >"$log" 2>&1; then
    printf '%-4s  %-28s %5d s\n' ok "$name" $((SECONDS - began))
    return 0
  fi
  report "$name" $((SECONDS - began)) 0 1 "$log"
  return 1
}

# build PRESET [TARGET...]: all of it, or these.
build() {
  local preset=$1
  shift
  step "configure $preset" cmake --preset "$preset" &&
    step "build $preset" cmake --build "build/$preset" -j "$jobs" ${1:+--target} "$@"
}

# ctest_stage NAME PRESET SELECTION...: the programs that CTest knows, counted by doctest case.
ctest_stage() {
  local name=$1 preset=$2 began=$SECONDS log status=0 sum
  shift 2
  log=$logs/${name// /-}.log
  timeout -k 10 "$stage_seconds_max" "${without_aslr[@]}" \
    ctest --test-dir "build/$preset" -j "$jobs" --verbose --timeout 900 --no-tests=ignore \
    "$@" >"$log" 2>&1 || status=$?
  sum=$(awk -f tests/count_ctest.awk "$log")
  report_sum "$name" $((SECONDS - began)) "$status" "$log" "$sum"
}

# report_sum NAME SECONDS STATUS LOG 'PASSED FAILED': whatever ended badly without saying which
# test failed (a hang, a crash of the runner) is one failure.
report_sum() {
  local name=$1 seconds=$2 status=$3 log=$4 passed failed
  read -r passed failed <<<"$5"
  ((status == 0 || failed > 0)) || failed=1
  report "$name" "$seconds" "$passed" "$failed" "$log"
}

# bats_stage NAME PRESET OPTIONS...: the files of tests/e2e, two at a time.
bats_stage() {
  local name=$1 preset=$2 began=$SECONDS log folder status=0 sum files=(tests/e2e/*.bats)
  shift 2
  [[ -e "${files[0]}" ]] || return 0
  log=$logs/${name// /-}.log
  folder=$logs/${name// /-}
  rm -rf "$folder" && mkdir -p "$folder"
  # Sanitizer reports go to files: a program that a test does not look at may write one too.
  printf '%s\n' "${files[@]}" |
    VOUCH_BIN=$PWD/build/$preset/bin VOUCH_PRESET=$preset \
      ASAN_OPTIONS=log_path=$folder/report TSAN_OPTIONS=log_path=$folder/report:halt_on_error=1 \
      UBSAN_OPTIONS=log_path=$folder/report:print_stacktrace=1 \
      timeout -k 10 "$stage_seconds_max" "${without_aslr[@]}" \
      xargs -P "$jobs" -I{} tests/bats_file.sh {} "$folder" "$@" || status=$?
  cat "$folder"/*.tap "$folder"/report.* >"$log" 2>/dev/null
  sum=$(awk -f tests/count_tap.awk "$log")
  report_sum "$name" $((SECONDS - began)) "$status" "$log" "$sum"
}

# Lines `ok ...` and `FAIL ...`, one for each check.
style_stage() {
  local began=$SECONDS log=$logs/style.log status=0
  [[ -x tests/style/run ]] || return 0
  timeout -k 10 "$stage_seconds_max" tests/style/run --bin build/release/bin >"$log" 2>&1 ||
    status=$?
  report_sum style $((SECONDS - began)) "$status" "$log" \
    "$(grep -c '^ok' "$log") $(grep -c '^FAIL' "$log")"
}

# campaign_stage PRESET SCRIPT...: each is one test: it exits 0 only when its proof holds.
campaign_stage() {
  local preset=$1 script began log status
  shift
  for script in "$@"; do
    [[ -x "$script" ]] || continue
    began=$SECONDS status=0
    log=$logs/$(basename "$script" .sh).log
    VOUCH_BIN=$PWD/build/$preset/bin timeout -k 10 "$stage_seconds_max" "$script" \
      >"$log" 2>&1 || status=$?
    report_sum "$script" $((SECONDS - began)) "$status" "$log" "$((status == 0)) 0"
  done
}

release_stages() {
  build release || return
  ! wanted style || style_stage
  ! wanted unit || ctest_stage unit release -LE simulation
  VOUCH_SIM_SEEDS=$seeds
  ! wanted simulation || ctest_stage simulation release -L simulation
  ! wanted e2e || bats_stage e2e release
  ! wanted campaigns || campaign_stage release tests/campaigns/{kill,silent,codes}.sh \
    examples/quickstart.sh
}

# Only what has threads is worth the price of the thread sanitizer; the simulation has one.
sanitizer_stages() {
  local preset=$1 targets=(vouchd vouchctl vouch-sandbox make-recipients tests-unit)
  [[ "$preset" == tsan ]] || targets=()
  build "$preset" "${targets[@]}" || return
  VOUCH_SIM_SEEDS=$(((seeds + 9) / 10))
  if [[ "$preset" == tsan ]]; then
    ctest_stage "unit $preset" "$preset" -L unit
  else
    ctest_stage "unit $preset" "$preset" -LE simulation
    ctest_stage "simulation $preset" "$preset" -L simulation
    # Only builds for tests have failpoints.
    campaign_stage "$preset" tests/campaigns/failpoints.sh
  fi
  bats_stage "e2e $preset" "$preset" --filter-tags short
}

main() {
  parse_arguments "$@"
  mkdir -p "$logs"
  export CI=${CI:-} VOUCH_SIM_SEEDS=$seeds
  step packages scripts/install-packages.sh || finish
  # The thread sanitizer of g++ 12 cannot live with the address layout of newer kernels.
  without_aslr=()
  ! setarch -R true 2>/dev/null || without_aslr=(setarch -R)

  release_stages
  ! wanted asan || sanitizer_stages asan
  ! wanted tsan || sanitizer_stages tsan
  finish
}

finish() {
  printf 'in %d s; logs in build/logs/\n' "$SECONDS"
  printf '%d passed, %d failed\n' "$total_passed" "$total_failed"
  ((total_failed == 0 && total_passed > 0))
  exit
}

main "$@"
