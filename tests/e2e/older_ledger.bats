# Goal: a ledger that is an older copy is refused, and when it is accepted all the same, nothing is
# issued twice and nothing is lost, whatever the downstream promises.  Method: the folder of the
# ledger is put back to an earlier state; the services' journals judge.
bats_require_minimum_version 1.5.0
load helpers
load shop

setup() {
  new_place
}
teardown() {
  stop_all
}

# Half of shop-1 is drained, kept as a backup, then the rest of it and a job shop-2 of which the
# backup knows nothing.
grow_older() {
  submit_shop --rate 300/s
  wait_until 20 has_issued 200
  stop vouchd
  cp -a "$VOUCH_STORE/ledger/main" "$PLACE/backup"
  start_vouchd
  vouchctl -q job update shop-1 --rate 2000/s
  run -0 vouchctl job wait shop-1 --timeout 60s
  make-recipients --rows 300 --seed 9 >"$PLACE/other.csv"
  vouchctl -q job submit --campaign bench --client shop --file "$PLACE/other.csv" \
    --submit-key shop-2 --wait --timeout 60s
  stop vouchd
  # The anchor lies beside the ledger and does not go back with it.
  cp "$PLACE/backup/ledger.db" "$VOUCH_STORE/ledger/main/ledger.db"
  cp "$PLACE/backup/ledger.db-wal" "$VOUCH_STORE/ledger/main/ledger.db-wal"
}

go_on_with_it() {
  run -9 vouchd --admin-listen none
  assert_contains "$output" "it is an older copy"
  assert_contains "$output" "vouchd --accept-older-ledger"
  local before=$EXECUTED
  start_vouchd --accept-older-ledger --retry-first 50ms
  run -0 vouchctl job wait shop-1 --timeout 60s
  run -0 vouchctl job wait shop-2 --timeout 60s
  assert_equal 1 "$(ledger 'SELECT count(*) FROM event WHERE detail LIKE "an older ledger%"')"
  assert_equal "$before" "$(executed)"
  judge
}

executed() { tail -n +2 -q "$PLACE"/journals/coupons.csv | wc -l; }

@test "older ledger: under contract key what it does not know is repeated without a second effect" {
  start_sandbox
  make_shop 1200
  start_vouchd
  grow_older
  EXECUTED=$(executed)
  go_on_with_it
}

@test "older ledger: under contract query what it does not know is asked about, not called again" {
  start_sandbox --key-memory 1ms # whoever calls twice has two vouchers
  make_shop 1200
  printf '[{"status":404,"pointer":"/code","value":"NOT_FOUND","outcome":"not_found"}]\n' \
    >"$PLACE/queries.json"
  vouchctl -q --yes downstream update coupons --contract query \
    --query-outcomes "$PLACE/queries.json" --settle-time 2s \
    --query-url "$SANDBOX_URL/coupons/{request_id}"
  start_vouchd
  grow_older
  EXECUTED=$(executed)
  go_on_with_it
  assert_equal 0 "$(ledger 'SELECT count(*) FROM event WHERE kind = 1 AND sends > 0 AND seq >
    (SELECT max(seq) FROM event WHERE detail LIKE "an older ledger%")')"
}
