#!/usr/bin/env bash
# mutants.sh: plants known bugs, one at a time, and expects the tests to find each.
#
#   tests/campaigns/mutants.sh [NAME...]
#
# Without a name all of tests/campaigns/mutants/*.mutant.  Each says what it breaks, in which file,
# which tests must fail, and what stands in place of what; it is applied to a copy of the sources,
# so nothing here is changed.  First the tests must pass without any mutant.  A test that does not
# end has found it too.  By hand: about a minute each on two cores.
#
# Exits 0 only when every mutant is caught.  Closes with `N passed, M failed`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly mutants=$PWD/tests/campaigns/mutants seconds_max=${MUTANT_SECONDS_MAX:-900}
names=("$@")
((${#names[@]} > 0)) ||
  mapfile -t names < <(find "$mutants" -name '*.mutant' -printf '%f\n' | sed 's/\.mutant$//' | sort)
place=$(mktemp -d "${TMPDIR:-/tmp}/vouch-mutants-XXXXXX")
readonly place
trap 'rm -rf "$place"' EXIT

# mutate NAME FOLDER: replaces what the mutant names, which must stand there once.
mutate() {
  python3 - "$mutants/$1.mutant" "$2" <<'PYTHON'
import pathlib, sys

text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
head, _, change = text.partition("--- old\n")
old, _, new = (part.rstrip("\n") for part in change.partition("+++ new\n"))
name = next(line[6:] for line in head.splitlines() if line.startswith("file: "))
path = pathlib.Path(sys.argv[2]) / name
source = path.read_text(encoding="utf-8")
if source.count(old) != 1:
    sys.exit(f"{sys.argv[1]}: what it replaces stands {source.count(old)} times in {name}")
path.write_text(source.replace(old, new), encoding="utf-8")
PYTHON
}

field() { sed -n "s/^$2: //p" "$mutants/$1.mutant"; }
tests_of() { field "$1" tests | tr ' ' '\n'; }

build() { cmake --build "$place/build" -j 2 --target "$@" >"$place/build.log" 2>&1; }
passes() {
  VOUCH_SIM_SEEDS=200 timeout "$seconds_max" "$place/build/bin/$1" >"$place/test.log" 2>&1
}

mkdir "$place/source"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$place/source"
cmake -S "$place/source" --preset release -B "$place/build" >/dev/null
mapfile -t all < <(for name in "${names[@]}"; do tests_of "$name"; done | sort -u)
build "${all[@]}" || { cat "$place/build.log" && exit 1; }
for test in "${all[@]}"; do
  passes "$test" || { printf 'error: %s fails without a mutant\n' "$test" >&2 && exit 1; }
done

passed=0 failed=0
for name in "${names[@]}"; do
  file=$(field "$name" file)
  mapfile -t tests < <(tests_of "$name")
  verdict='FAIL  not caught'
  if ! mutate "$name" "$place/source"; then
    verdict='FAIL  no such place'
  elif ! build "${tests[@]}"; then
    verdict='FAIL  does not build'
    tail -n 20 "$place/build.log" >&2
  else
    for test in "${tests[@]}"; do
      passes "$test" || { verdict="ok    caught by $test" && break; }
    done
  fi
  cp "$file" "$place/source/$file"
  if [[ "$verdict" == ok* ]]; then ((++passed)); else ((++failed)); fi
  printf '%-32s %s\n' "$name" "$verdict"
done
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
