#!/usr/bin/env bash
# install-packages.sh: installs the Debian 12 packages that Vouch is built, tried out and tested
# with.  Nothing is downloaded from anywhere else.  Where all is there, it does nothing: no
# network, no apt-get, no privileges, in a twentieth of a second.
#
#   scripts/install-packages.sh            what building, the quick start and the tests need
#   scripts/install-packages.sh --build    only what building and the quick start need
#   scripts/install-packages.sh --bench    the first, and what tests/bench measures against
#   scripts/install-packages.sh --list     prints the packages it would see to, and stops
#
# Works as root and through sudo.  Starts no service.
set -euo pipefail

# To build: compiler, tools, libraries.  To try it out: curl, jq, sqlite3, python3, tzdata.
build_packages=(
  ca-certificates ccache cmake g++ git ninja-build pkg-config
  libboost1.81-dev libcli11-dev libexpected-dev libhiredis-dev libhowardhinnant-date-dev
  libspdlog-dev libsqlite3-dev libssl-dev libutf8proc-dev nlohmann-json3-dev zlib1g-dev
  curl jq procps python3 sqlite3 tzdata
)
# redis-server as a plain program on a socket of a test's own, never as a service.
test_packages=(
  bats clang-format-14 clang-tidy-14 doctest-dev mandoc python3-jsonschema redis-server
  shellcheck strace
)
# nginx as a plain program on a port of the benchmark's own, never as a service.
bench_packages=(nginx-light wrk)

say() { printf 'install-packages: %s\n' "$*" >&2; }
fail() {
  printf 'error: %s\n' "$1" >&2
  printf 'hint: %s\n' "$2" >&2
  exit 1
}

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; }

# Prints those of the packages named that are not fully installed.
missing_of() {
  local package installed
  installed="$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)"
  for package in "$@"; do
    [[ $'\n'"$installed"$'\n' == *$'\n'"$package installed"$'\n'* ]] || printf '%s\n' "$package"
  done
}

# Sets as_root to the words that make a command run as root.
find_root() {
  as_root=()
  [[ "$(id -u)" != 0 ]] || return 0
  command -v sudo >/dev/null ||
    fail "packages are missing, and this is neither root nor is there sudo: ${missing[*]}" \
      "as root: apt-get update && apt-get install --no-install-recommends ${missing[*]}"
  as_root=(sudo)
  # Without a terminal nobody could type a password: fail at once instead of waiting for one.
  [[ -t 0 ]] || as_root=(sudo -n)
}

# Debian starts a service as soon as its package is installed.  A policy-rc.d that answers 101
# ("not allowed") prevents it; where the machine has one of its own, that one decides.
readonly policy=/usr/sbin/policy-rc.d
policy_is_ours=
forbid_services() {
  [[ ! -e "$policy" ]] || return 0
  policy_is_ours=yes
  trap allow_services EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 0755 "$policy"
}
allow_services() {
  [[ -z "$policy_is_ours" ]] || "${as_root[@]}" rm -f "$policy"
  policy_is_ours=
}

# Runs apt-get quietly; its words are shown only when it failed.
apt() {
  local log
  log="$(mktemp)"
  if "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
    apt-get -q -o DPkg::Lock::Timeout=120 "$@" >"$log" 2>&1 </dev/null; then
    rm -f "$log"
    return 0
  fi
  tail -n 25 "$log" >&2
  rm -f "$log"
  return 1
}

# disable_service PACKAGE UNIT: what was just installed does not start at the next boot either.
disable_service() {
  [[ " ${missing[*]} " == *" $1 "* && -d /run/systemd/system ]] || return 0
  "${as_root[@]}" systemctl disable --now "$2" >/dev/null 2>&1 ||
    say "$2 could not be disabled; it is not needed: systemctl disable $2"
}

install_missing() {
  command -v apt-get >/dev/null ||
    fail "there is no apt-get here, and packages are missing: ${missing[*]}" \
      "Vouch is built on Debian 12; use a machine or a container with it"
  find_root
  say "installing ${#missing[@]} packages: ${missing[*]}"
  forbid_services
  apt update || fail "apt-get update failed" "check the network and the package sources"
  # --no-remove: a machine's other programs are not ours to take away.
  apt install -y --no-install-recommends --no-remove "${missing[@]}" ||
    fail "apt-get install failed" \
      "if it wants to remove a package (libboost1.74-dev stands in the way of \
libboost1.81-dev), remove that one by hand; else see its words above"
  disable_service nginx-light nginx.service
  disable_service redis-server redis-server.service
  allow_services
  say "done"
}

main() {
  local wanted=("${build_packages[@]}" "${test_packages[@]}") list=
  while (($# > 0)); do
    case "$1" in
      --build) wanted=("${build_packages[@]}") ;;
      --bench) wanted+=("${bench_packages[@]}") ;;
      --list) list=yes ;;
      -h | --help) usage && exit 0 ;;
      *) fail "unknown argument '$1'" "see scripts/install-packages.sh --help" ;;
    esac
    shift
  done
  if [[ -n "$list" ]]; then
    printf '%s\n' "${wanted[@]}"
    return 0
  fi
  command -v dpkg-query >/dev/null ||
    fail "this is not Debian: there is no dpkg-query" \
      "Vouch is built on Debian 12; use a machine or a container with it"
  mapfile -t missing < <(missing_of "${wanted[@]}")
  ((${#missing[@]} == 0)) || install_missing
}

main "$@"
