# Goal: a backup that is taken while a job drains under load, and restored elsewhere, starts frozen;
# once told to go on it gives nothing twice and loses nothing, whatever the downstream promises.
# Method: the copy goes into another folder, where no anchor is, while the job went on behind it;
# the services' journals judge.
bats_require_minimum_version 1.5.0
load helpers
load shop

setup() {
  new_place
}
teardown() {
  stop_all
}

readonly hasty=(--retry-first 50ms --query-apart 500ms)

# back_up_and_lose: a backup while $ROWS rows are drained; the job goes on behind it, and the store
# is lost with some rows never called.  Sets EXECUTED.
back_up_and_lose() {
  start_vouchd --retry-first 3s
  # Some wait at that moment, since they were told to come again, and are executed later.
  faults '{"faults":[{"kind":"error","status":429,"probability":0.2,"count":20}]}'
  submit_shop --rate 200/s "$@"
  wait_until 20 has_issued 150
  (($(waiting) >= 10))
  run -0 vouchctl store backup "$PLACE/copy"
  assert_contains "$output" "recipient.key is not included"
  assert_contains "$output" "vouchd starts with it only by --accept-older-ledger"
  wait_until 20 has_issued 600
  wait_until 20 none_waits
  stop vouchd
  (($(issued) < ROWS))
  EXECUTED=$(executed)
  ((EXECUTED >= 600))
  cp "$VOUCH_STORE/control/recipient.key" "$PLACE/key"
  rm -rf "$VOUCH_STORE"
}
waiting() { ledger 'SELECT count(*) FROM issuance WHERE state = 2'; }
none_waits() { [[ "$(waiting)" == 0 ]]; }
executed() { tail -n +2 -q "$PLACE"/journals/coupons.csv | wc -l; }

# restore: into a folder of another name; it is one set, as its manifest says, and stays frozen.
restore() {
  jq -r '.files[] | "\(.sha256)  \(.path)"' "$PLACE/copy/manifest.json" \
    >"$PLACE/digests"
  (cd "$PLACE/copy" && sha256sum --check --quiet "$PLACE/digests" &&
    assert_equal "$(jq '.files | length' manifest.json)" \
      "$(find . -type f ! -name manifest.json | wc -l)")
  export VOUCH_STORE=$PLACE/elsewhere
  cp -r "$PLACE/copy" "$VOUCH_STORE"
  cp "$PLACE/key" "$VOUCH_STORE/control/recipient.key"
  local before
  before=$(issued)
  ((before >= 150 && before < 600))
  for _ in 1 2; do
    run -9 timeout 20 vouchd --admin-listen none
    assert_contains "$output" "the ledger is a backup of"
    assert_contains "$output" "vouchd --accept-older-ledger"
  done
  assert_equal "$EXECUTED $before" "$(executed) $(issued)"
  (($(waiting) >= 10))
}

# Told once, it goes on, and needs not be told again.
go_on() {
  start_vouchd --accept-older-ledger "${hasty[@]}"
  waits_for_people shop-1
  stop vouchd
  start_vouchd "${hasty[@]}"
  waits_for_people shop-1
  assert_equal "$EXECUTED" "$(executed)"
  vouchctl -q job resume shop-1
  assert_equal 1 "$(ledger 'SELECT count(*) FROM event WHERE detail LIKE "an older ledger%"')"
}

@test "backup: restored under contract key, what it does not know is repeated to no effect" {
  start_sandbox
  ROWS=1500
  make_shop "$ROWS"
  back_up_and_lose
  restore
  go_on
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal "$ROWS $ROWS" "$(issued) $(executed)"
  judge
}

@test "backup: restored under contract query, what it does not know is asked about first" {
  start_sandbox --keys-max 0 # whoever calls twice has two vouchers
  ROWS=1500
  make_query "$ROWS"
  back_up_and_lose
  restore
  go_on
  run -0 vouchctl job wait shop-1 --timeout 120s
  assert_equal "$ROWS $ROWS" "$(issued) $(executed)"
  no_doubt_is_called_again
  judge
}

@test "backup: restored under contract none, what it does not know is held for a statement" {
  start_sandbox --keys-max 0
  ROWS=1500
  make_contract "$ROWS" none --settle-time 1s
  back_up_and_lose --accept-uncertain
  restore
  go_on
  run -9 vouchctl job wait shop-1 --timeout 60s
  # Nobody is called for what may have been executed.
  assert_equal "$EXECUTED" "$(executed)"
  assert_equal "$ROWS" "$(($(issued) + $(held)))"
  judge --open
  # Their statement tells both kinds apart.
  curl -sS --fail "$SANDBOX_URL/coupons/statement.csv" >"$PLACE/statement.csv"
  settled() {
    vouchctl reconcile coupons --statement "$PLACE/statement.csv" --margin 0s --cut-off now \
      --resolve-negative
    [[ "$(held)" == 0 ]]
  }
  wait_until 30 settled
  assert_equal "$EXECUTED" "$(issued)"
  judge
}
