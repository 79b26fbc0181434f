#!/usr/bin/env bash
# mutants.sh: plants known bugs, one at a time, and expects the tests to find each.
#
#   tests/campaigns/mutants.sh [--list] [--count N] [NAME...]
#
# Without a name all of tests/campaigns/mutants/*.mutant; with --count N so many of them, evenly
# chosen and always the same.  Each says what it breaks, in which file, which tests must fail, and
# what stands in place of what, once or several times; it is applied to a copy of the sources in
# build/mutants, so nothing here is changed.  First the tests must pass without any mutant.  A test
# that does not end has found it too.
#
# Run it by hand after changes to what the mutants name; it is too slow for every submission.  The
# first run builds the tests; from then on a mutant takes about ten seconds on two cores with
# ccache, and a minute where a header is mutated.  MUTANT_SEEDS (200) are the seeds of the
# simulation, MUTANT_SECONDS_MAX (900) is the patience with one test.
#
# Exits 0 only when every mutant is caught.  Closes with `N passed, M failed`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly mutants=$PWD/tests/campaigns/mutants seconds_max=${MUTANT_SECONDS_MAX:-900}
# The copy is built where the original is, so that the compiler cache knows it.
readonly place=$PWD/build/mutants
readonly built=$place/source/build/release

usage_error() {
  printf 'error: %s\nhint: see the head of tests/campaigns/mutants.sh\n' "$1" >&2
  exit 2
}

mapfile -t known < <(find "$mutants" -name '*.mutant' -printf '%f\n' | sed 's/\.mutant$//' | sort)
wanted=()
while (($# > 0)); do
  case "$1" in
    --list) printf '%s\n' "${known[@]}" && exit 0 ;;
    --count)
      [[ "${2:-}" =~ ^[1-9][0-9]*$ ]] || usage_error "--count needs a number above zero"
      for ((i = 0; i < $2 && i < ${#known[@]}; i++)); do
        wanted+=("${known[i * ${#known[@]} / ($2 < ${#known[@]} ? $2 : ${#known[@]})]}")
      done
      shift
      ;;
    -*) usage_error "unknown option '$1'" ;;
    *)
      [[ -f "$mutants/$1.mutant" ]] || usage_error "no mutant '$1'"
      wanted+=("$1")
      ;;
  esac
  shift
done
names=("${wanted[@]}")
((${#names[@]} > 0)) || names=("${known[@]}")

# What an interrupted run left, and what has changed since.  Only what differs is copied: the
# build looks at times.
copy_sources() {
  local file
  while IFS= read -r -d '' file; do
    cmp -s "$file" "$place/source/$file" || cp --parents "$file" "$place/source"
  done < <(git ls-files -z --cached --others --exclude-standard)
}

# mutate NAME [--check]: replaces what the mutant names, each of which must stand there once; with
# --check only sees whether it does.
mutate() {
  python3 - "$mutants/$1.mutant" "$place/source" "${2:-}" <<'PYTHON'
import pathlib, sys

head, *changes = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8").split("--- old\n")
name = next(line[6:] for line in head.splitlines() if line.startswith("file: "))
path = pathlib.Path(sys.argv[2]) / name
source = path.read_text(encoding="utf-8")
for change in changes:
    old, _, new = (part.rstrip("\n") for part in change.partition("+++ new\n"))
    if source.count(old) != 1:
        sys.exit(f"{sys.argv[1]}: what it replaces stands {source.count(old)} times in {name}")
    source = source.replace(old, new)
if sys.argv[3] != "--check":
    path.write_text(source, encoding="utf-8")
PYTHON
}

field() { sed -n "s/^$2: //p" "$mutants/$1.mutant"; }
tests_of() { field "$1" tests | tr ' ' '\n'; }

build() { cmake --build "$built" -j 2 --target "$@" >"$place/build.log" 2>&1; }
passes() {
  VOUCH_SIM_SEEDS=${MUTANT_SEEDS:-200} timeout "$seconds_max" \
    "$built/bin/$1" --abort-after=1 >"$place/test.log" 2>&1
}

# verdict_of NAME: the cheapest test comes first, and the others only if it sees nothing.
verdict_of() {
  local test
  mutate "$1" || { echo 'FAIL  no such place' && return; }
  for test in $(tests_of "$1"); do
    if ! build "$test"; then
      tail -n 20 "$place/build.log" >&2
      echo 'FAIL  does not build' && return
    fi
    passes "$test" || { echo "ok    caught by $test" && return; }
  done
  echo 'FAIL  not caught'
}

mkdir -p "$place/source"
exec {lock}>"$place/lock"
flock -n "$lock" || { echo "error: another run is at work in $place" >&2 && exit 1; }
copy_sources
# A change that takes a mutant's place away is told at once, whichever are tried.
stale=0
for name in "${known[@]}"; do mutate "$name" --check || stale=1; done
((stale == 0)) || exit 1
cmake -S "$place/source" --preset release -B "$built" >/dev/null
mapfile -t all < <(for name in "${names[@]}"; do tests_of "$name"; done | sort -u)
build "${all[@]}" || { tail -n 40 "$place/build.log" && exit 1; }
for test in "${all[@]}"; do
  passes "$test" || { printf 'error: %s fails without a mutant\n' "$test" >&2 && exit 1; }
done

passed=0 failed=0
for name in "${names[@]}"; do
  begun=$SECONDS
  verdict=$(verdict_of "$name")
  file=$(field "$name" file)
  cp "$file" "$place/source/$file"
  if [[ "$verdict" == ok* ]]; then ((++passed)); else ((++failed)); fi
  printf '%-36s %4d s  %s\n' "$name" "$((SECONDS - begun))" "$verdict"
done
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
