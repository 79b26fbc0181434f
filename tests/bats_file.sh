#!/usr/bin/env bash
# bats_file.sh FILE FOLDER OPTIONS...: runs one bats file for tests/run.sh, its TAP in FOLDER.
# Exits 1 when a test failed, so that xargs goes on with the other files.
set -uo pipefail
file=$1 folder=$2
shift 2
tap=$folder/$(basename "$file" .bats).tap
printf '# %s\n' "$file" >"$tap"
bats --tap "$@" "$file" >>"$tap" 2>&1 || exit 1
