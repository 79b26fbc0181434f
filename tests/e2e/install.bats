# Goal: what `cmake --install` lays down is complete, and its parts name one another rightly.
# Method: an installation into a folder, looked at as a packager would.
bats_require_minimum_version 1.5.0
load helpers

setup() {
  new_place
  ! is_sanitized || skip "sanitized programs are not installed"
  build=$(cd "$VOUCH_BIN/.." && pwd)
  prefix=$(sed -n 's/^CMAKE_INSTALL_PREFIX:PATH=//p' "$build/CMakeCache.txt")
  run -0 env DESTDIR="$PLACE/root" cmake --install "$build"
  installed=$PLACE/root$prefix
}
teardown() {
  stop_all
}

@test "install: programs run from where they are put" {
  local program
  for program in bin/vouchctl bin/vouch-sandbox sbin/vouchd; do
    run -0 "$installed/$program" --version
    [ -n "$output" ]
  done
}

@test "install: every manual page is in its section" {
  local page
  for page in "$REPOSITORY"/man/*.[1578]; do
    [ -e "$page" ] || continue
    [ -s "$installed/share/man/man${page##*.}/$(basename "$page")" ]
  done
}

@test "install: units start the installed daemon, account and folders come with it" {
  local unit
  for unit in vouchd.service vouchd@.service; do
    assert_contains "$(cat "$installed/lib/systemd/system/$unit")" "ExecStart=$prefix/sbin/vouchd "
  done
  assert_contains "$(cat "$installed/lib/sysusers.d/vouch.conf")" "u vouch "
  assert_contains "$(cat "$installed/lib/tmpfiles.d/vouch.conf")" "/var/lib/vouch/ledger"
}
