# Goal: what ended without a voucher can be given again, and each is given once.  Method: 200 rows
# declined, 200 failed, 200 expired; then reruns with kills in between; judged by the journal.
bats_require_minimum_version 1.5.0
load helpers
load shop

setup() {
  new_place
}
teardown() {
  stop_all
}

count() { ledger "SELECT count(*) FROM issuance WHERE state = $1"; }
has_count() { (($(count "$1") == $2)); }

# submit_part KEY SEED [OPTIONS...]: 200 recipients of their own.
submit_part() {
  local key=$1 seed=$2
  shift 2
  make-recipients --rows 200 --seed "$seed" >"$PLACE/$key.csv"
  vouchctl -q job submit --campaign bench --client shop --file "$PLACE/$key.csv" \
    --submit-key "$key" "$@"
}

kill_vouchd() {
  kill -KILL "$(pid_of vouchd)"
  wait "$(pid_of vouchd)" 2>/dev/null || true
}

@test "rerun: declined, failed and expired rows are issued once each, in spite of kills" {
  start_sandbox --latency 5ms
  make_shop 1
  start_vouchd --attempts-max 1 --retry-first 20ms
  curl -sS --fail -X PUT -d '{"refusals":[{"probability":1,"code":"BLOCKED"}]}' \
    "$SANDBOX_URL/faults/coupons" >/dev/null
  submit_part refused 11
  run -3 vouchctl job wait refused --timeout 60s
  assert_equal 200 "$(count 6)"

  faults '{"refusals":[],"faults":[{"kind":"throttled","probability":1,"retry_after":"0"}]}'
  submit_part throttled 12
  run -3 vouchctl job wait throttled --timeout 60s
  assert_equal 200 "$(count 7)"

  faults '{"faults":[]}'
  vouchctl -q stop --reason "the test wants these to expire"
  submit_part late 13 --finish-by "$(date -u -d '+3 seconds' +%FT%TZ)" --accept-late
  run -3 vouchctl job wait late --timeout 60s
  vouchctl -q -y start
  assert_equal 200 "$(count 9)"
  assert_equal 0 "$(count 5)"

  vouchctl -q job rerun refused --state declined --submit-key refused-again
  kill_vouchd
  start_vouchd --retry-first 20ms
  vouchctl -q job rerun throttled --state failed --submit-key throttled-again
  wait_until 20 some_issued
  kill_vouchd
  start_vouchd --retry-first 20ms
  vouchctl -q job rerun late --state expired --submit-key late-again
  kill_vouchd
  start_vouchd --retry-first 20ms
  run -0 vouchctl job wait refused-again throttled-again late-again --timeout 60s
  assert_equal 600 "$(count 5)"
  assert_equal 600 "$(ledger 'SELECT count(*) FROM issuance')"
  judge
}

some_issued() { (($(count 5) > 20)); }
