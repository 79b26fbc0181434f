# Goal: redemption codes are sealed, encrypted and each there once, whatever stops the making of
# them; nobody is shown one.  Method: what vouchctl says, and the files it leaves.
bats_require_minimum_version 1.5.0
load helpers

setup() {
  new_place
  cd "$PLACE" || return 1
  vouchctl init -q
  vouchctl pool create vip --low-water 100 -q
}
teardown() { stop_all; }

count_of() { vouchctl pool show vip -o json | jq -r ".$1"; }
sealed() { find "$VOUCH_STORE/pools" -name '*.db' | wc -l; }

@test "pools: the key is made once, for few eyes, and its loss is told" {
  assert_equal 600 "$(stat -c %a pool.key)"
  vouchctl pool create other -q
  vouchctl pool generate vip --count 10 -q

  mv pool.key kept.key
  run -5 vouchctl pool generate vip --count 10
  assert_contains "$output" "the key of the pools is not there"
  VOUCH_POOL_KEY=$PLACE/second.key run -6 vouchctl pool create third
  assert_contains "$output" "holds the key"
  cp kept.key pool.key
  chmod 644 pool.key
  run -4 vouchctl pool generate vip --count 10
  assert_contains "$output" "chmod 600"
  assert_equal 10 "$(count_of codes)"
}

@test "pools: codes are made, counted, and can be neither read nor guessed" {
  vouchctl pool generate vip --count 20000 --prefix VIP- --check -q
  assert_equal 20000 "$(count_of generated)"
  assert_equal 1 "$(sealed)"
  assert_equal 440 "$(stat -c %a "$VOUCH_STORE"/pools/*.db)"
  run -1 grep -rqa 'VIP-[2-9A-Z]\{10\}' "$VOUCH_STORE"

  run -7 vouchctl pool generate vip --count 5000000 --length 8
  assert_contains "$output" "--length 10"
  assert_equal 20000 "$(count_of codes)"

  vouchctl pool generate vip --up-to 25000 -q
  vouchctl pool generate vip --up-to 25000 -q
  assert_equal 25000 "$(count_of codes)"
  assert_equal 2 "$(sealed)"
  vouchctl pool generate vip --count 7 --dry-run -q
  assert_equal 25000 "$(count_of codes)"
}

@test "pools: a run that is killed at any moment has added nothing" {
  local i
  for i in 0.02 0.1 0.2 0.4 0.7; do
    timeout -s KILL "$i" vouchctl pool generate vip --count 300000 -q || true
    [[ "$(count_of codes)" == 0 || "$(count_of codes)" == 300000 ]]
    vouchctl store check >/dev/null
    [[ "$(count_of codes)" == 0 ]] || break
  done
  vouchctl pool generate vip --up-to 300000 -q
  assert_equal 300000 "$(count_of codes)"
  assert_equal 1 "$(sealed)"
  assert_equal "" "$(find "$VOUCH_STORE/pools" -name '.tmp-*')"
}

@test "pools: a partner's codes are imported, each refused row told by its line" {
  printf 'Nr;Gutschein\n1;AAA-1\n2;BBB-2\n3;AAA-1\n4;\n' >theirs.csv
  run -7 --separate-stderr vouchctl pool import vip theirs.csv --delimiter semicolon \
    --map Gutschein=code --rejects rejects.csv
  # shellcheck disable=SC2154  # set by run
  assert_contains "$stderr" "line 4: the code stands on line 2 already"
  assert_contains "$stderr" "line 5: the code is missing"
  [[ "$output$stderr" != *AAA-1* ]]
  assert_equal 0 "$(count_of codes)"
  assert_equal 3 "$(wc -l <rejects.csv)"

  vouchctl pool import vip theirs.csv --delimiter semicolon --map Gutschein=code \
    --on-error skip -q
  vouchctl pool import vip theirs.csv --delimiter semicolon --map Gutschein=code -q
  assert_equal 2 "$(count_of imported)"

  printf 'code\nCCC-3\nBBB-2\n' >more.csv
  run -7 vouchctl pool import vip more.csv
  assert_contains "$output" "line 3: the pool has this code already"
  vouchctl pool generate vip --count 1000 -q
  assert_equal 1002 "$(count_of codes)"
}

@test "pools: what is left is told, and a segment that was changed is found" {
  vouchctl pool generate vip --count 50 -q
  assert_contains "$(vouchctl pool show vip 2>&1)" "fewer than its low water of 100"
  assert_contains "$(vouchctl doctor --trouble 2>&1 || true)" "50 codes left"
  vouchctl pool generate vip --up-to 200 -q
  run -0 vouchctl store check
  assert_contains "$output" "every segment as it was sealed"

  vouchctl store backup copy -q
  assert_equal 2 "$(find copy/pools -name '*.db' | wc -l)"
  [[ "$(cat copy/manifest.json)" == *pool-key* ]]
  [[ -z "$(find copy -name '*.key')" ]]

  local file
  file=$(find "$VOUCH_STORE/pools" -name '*.db' | head -n 1)
  chmod 600 "$file"
  sqlite3 "$file" "UPDATE page SET codes = zeroblob(length(codes))"
  run -1 vouchctl store check
  assert_contains "$output" "is not as it was sealed"
  rm "$file"
  run -1 vouchctl doctor
  assert_contains "$output" "no such segment"
}

@test "pools: two runs at once do not fill one pool" {
  start first vouchctl pool generate vip --count 2000000
  wait_until 20 test -e "$VOUCH_STORE/control/pool-vip.lock"
  run -11 vouchctl pool generate vip --count 10
  assert_contains "$output" "another run is adding codes"
  stop first KILL || true
  vouchctl pool generate vip --count 10 -q
  assert_equal 10 "$(count_of codes)"
}
