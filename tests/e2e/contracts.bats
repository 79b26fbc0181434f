# Goal: whatever a downstream promises about a call whose answer was lost, nothing is issued twice
# and every doubtful row is told.  Method: a sandbox that forgets every key at once, so that each
# second call would be a second voucher; judged by its journal.
bats_require_minimum_version 1.5.0
load helpers
load shop

setup() {
  new_place
}
teardown() {
  stop_all
}

# bats test_tags=short
@test "query: lost answers are asked about, and each recipient has one voucher" {
  start_sandbox --keys-max 0
  make_query 200
  start_vouchd --retry-first 50ms --query-apart 500ms
  faults '{"faults":[{"kind":"lost","probability":0.1,"count":20}]}'
  submit_shop
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 200 "$(issued)"
  (($(asked) >= 5))
  no_doubt_is_called_again
  judge
}

@test "query: a 502 before anything was executed is called again after two not-founds" {
  start_sandbox --keys-max 0
  make_query 100
  start_vouchd --retry-first 50ms --query-apart 500ms
  faults '{"faults":[{"kind":"error","status":502,"probability":0.1,"count":8}]}'
  submit_shop
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 100 "$(issued)"
  # Two not-founds, the second no sooner than half a second after the first, led to each repeat.
  (($(ledger 'SELECT count(*) FROM event WHERE kind = 9 AND outcome = 8 AND to_state = 2') > 0))
  assert_equal 0 "$(ledger 'SELECT count(*) FROM event AS e JOIN event AS first
    ON first.seq = e.prev_seq WHERE e.kind = 9 AND e.to_state = 2
      AND (first.kind <> 9 OR e.at_ms < first.at_ms + 500)')"
  no_doubt_is_called_again
  judge
}

@test "query: what is not found for a while, and then is, was issued once" {
  start_sandbox --keys-max 0
  make_query 60
  start_vouchd --retry-first 50ms --query-apart 500ms
  faults '{"visible_after_ms":900,"faults":[{"kind":"closed","probability":0.2,"count":10}]}'
  submit_shop
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 60 "$(issued)"
  (($(ledger 'SELECT count(*) FROM event WHERE kind = 9 AND outcome = 8') > 0))
  (($(ledger 'SELECT count(*) FROM event WHERE kind = 9 AND outcome = 0') > 0))
  judge
}

@test "query: killed with calls out and queries out, the rest is asked about" {
  start_sandbox --keys-max 0 --latency 100ms
  make_query 300
  start_vouchd --retry-first 50ms --query-apart 500ms
  submit_shop
  local i
  for i in 20 80 150; do
    wait_until 20 has_issued "$i"
    stop vouchd KILL || true
    start_vouchd --retry-first 50ms --query-apart 500ms
  done
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 300 "$(issued)"
  (($(asked) > 0))
  no_doubt_is_called_again
  judge
}

@test "key with a query: asked first, then called again under its key" {
  start_sandbox
  CONTRACT=key make_query 200
  start_vouchd --retry-first 50ms
  faults '{"faults":[{"kind":"lost","probability":0.1,"count":10},
    {"kind":"error","status":502,"probability":0.1,"count":10}]}'
  submit_shop
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 200 "$(issued)"
  (($(asked) > 0))
  # No row in doubt was called before somebody was asked.
  assert_equal 0 "$(ledger 'SELECT count(*) FROM event AS e JOIN event AS before
    ON before.seq = e.prev_seq
    WHERE e.kind = 1 AND before.kind = 1 AND before.to_state = 3')"
  judge
}

# bats test_tags=short
@test "none: a job must accept uncertainty; a lost answer is held, listed, and told by exit 9" {
  start_sandbox --keys-max 0
  make_contract 100 none
  run -2 submit_shop
  assert_contains "$output" "--accept-uncertain"
  start_vouchd --retry-first 50ms
  faults '{"faults":[{"kind":"lost","probability":0.2,"count":4}]}'
  submit_shop --accept-uncertain
  run -9 vouchctl job wait shop-1 --timeout 60s
  local held
  held=$(ledger 'SELECT count(*) FROM issuance WHERE state = 4')
  ((held > 0 && held <= 4))
  assert_equal 100 "$(($(issued) + held))"
  assert_equal "$held" "$(vouchctl issuance list --job shop-1 --state held -o ndjson | wc -l)"
  no_doubt_is_called_again
  judge --open
}

@test "none: killed, what was out is held, and never called again" {
  start_sandbox --keys-max 0 --latency 200ms
  make_contract 100 none
  start_vouchd --retry-first 50ms
  submit_shop --accept-uncertain
  wait_until 20 has_issued 10
  stop vouchd KILL || true
  start_vouchd --retry-first 50ms
  run -9 vouchctl job wait shop-1 --timeout 60s
  local held
  held=$(ledger 'SELECT count(*) FROM issuance WHERE state = 4')
  ((held > 0 && held <= 32))
  assert_equal 100 "$(($(issued) + held))"
  judge --open
}

# bats test_tags=short
@test "a contract changes only by a yes, and to none only where the open jobs have accepted it" {
  start_sandbox
  make_contract 20 key
  run -2 vouchctl downstream update coupons --contract none --in-flight 8 </dev/null
  assert_contains "$output" "--yes"
  assert_contains "$output" "from key to none"
  submit_shop
  run -6 vouchctl downstream update coupons --contract none --in-flight 8 --yes
  assert_contains "$output" "$(vouchctl job show shop-1 -o json | jq -r .id)"
  run -0 vouchctl downstream show coupons -o json
  assert_equal key "$(json .contract)"
  vouchctl downstream show coupons -o json --fields definition |
    jq '.definition | .contract = "none" | .in_flight_max = 8' >"$PLACE/none.json"
  run -6 vouchctl downstream update coupons --file "$PLACE/none.json" --yes
  start_vouchd
  run -0 vouchctl job wait shop-1 --timeout 60s
  run -0 vouchctl downstream update coupons --file "$PLACE/none.json" --yes
  run -0 vouchctl downstream show coupons -o json
  assert_equal none "$(json .contract)"
}
