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
  # Accepted by a start that comes to nothing, since its address is taken.
  run -12 vouchd --accept-older-ledger --admin-listen "${SANDBOX_URL#http://}"
  start_vouchd --retry-first 50ms
  waits_for_people shop-1
  waits_for_people shop-2
  assert_equal "$before" "$(executed)"
  run -0 vouchctl doctor
  assert_contains "$output" "2 wait for people, since the ledger is an older copy"
  vouchctl -q job resume shop-1
  vouchctl -q job resume shop-2
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

@test "older ledger: what the end of its campaign had stopped is held, not called" {
  start_sandbox
  make_shop 1200
  start_vouchd
  submit_shop --rate 200/s
  wait_until 20 has_issued 100
  stop vouchd
  cp -a "$VOUCH_STORE/ledger/main" "$PLACE/backup"
  start_vouchd
  vouchctl -q campaign end bench --yes --reason "wrong amount"
  run vouchctl job wait shop-1 --timeout 60s
  assert_contains "$output" "expired of 1,200"
  stop vouchd
  cp "$PLACE/backup/ledger.db" "$PLACE/backup/ledger.db-wal" "$VOUCH_STORE/ledger/main"
  local before
  before=$(executed)
  start_vouchd --accept-older-ledger
  waits_for_people shop-1
  vouchctl -q job resume shop-1
  run -9 vouchctl job wait shop-1 --timeout 60s
  assert_equal "$before 1200" "$(executed) $(($(issued) + $(held)))"
  assert_contains "$(vouchctl issuance explain "$(vouchctl issuance list --job shop-1 \
    --state held --limit 1 -o name)")" "too late for a first call: the campaign has ended"
}
