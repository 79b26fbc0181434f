# Goal: where a downstream takes many issuances in a call, each of them has its own key, outcome and
# evidence; a lost, cut or partial answer costs no voucher and gives none twice.  Method: the
# sandbox's /coupons/batch under faults, judged by its journal, which has a line for each issuance.
bats_require_minimum_version 1.5.0
load helpers
load shop

setup() {
  new_place
  cd "$PLACE" || return 1
}
teardown() { stop_all; }

# make_batch ROWS CONTRACT [MEMBERS]: as make_shop, with batches of 20.
make_batch() {
  local rows=$1 contract=$2 members=${3:-}
  vouchctl -q init
  cat >coupons.json <<JSON
{"name": "coupons", "kind": "coupon", "contract": "$contract", "allow_http": true,
 "url": "$SANDBOX_URL/coupons/batch", "timeout_ms": 500, "settle_time_ms": 1000,
 "batch": {"issuances_max": 20, "status_pointer": "/http_status"},
 "outcomes": $(cat "$REPOSITORY/examples/outcomes-sandbox.json")$members}
JSON
  vouchctl -q downstream create --file coupons.json --limit "${RATE:-200}/s"
  vouchctl -q client create shop --lane internal
  vouchctl -q campaign create "$REPOSITORY/tests/bench/campaign.json"
  make-recipients --rows "$rows" >partner.csv
}

calls() { curl -sS --fail "$SANDBOX_URL/stats" | jq '.coupons.calls'; }

# bats test_tags=short
@test "batch: a whole list in a few calls, each issuance with evidence of its own" {
  start_sandbox --refusals 5%
  make_batch 400 key
  start_vouchd
  submit_shop
  run -3 vouchctl job wait shop-1 --timeout 60s
  (($(calls) < 60))
  judge
  assert_equal 0 "$(ledger 'SELECT count(*) FROM event WHERE kind = 1 AND to_state = 5
    AND (reference IS NULL OR reply_digest IS NULL)')"
  # No two have the same evidence.
  assert_equal "$(issued)" "$(ledger 'SELECT count(DISTINCT reference) FROM event
    WHERE to_state = 5')"
  (($(ledger 'SELECT max(shared_by) FROM event') == 20))
  (($(ledger 'SELECT count(*) FROM event WHERE to_state = 6 AND http_status = 422') > 0))
  # It is told, and the file's own dry run counts calls as they are.
  run -0 --separate-stderr vouchctl issuance list --job shop-1 --state issued --limit 1 -o name
  run -0 vouchctl issuance explain -- "$output"
  assert_contains "$output" "in a call with 19 others"
  run -0 --separate-stderr vouchctl job submit --campaign bench --client shop --name other \
    --file partner.csv --again --submit-key dry --dry-run -o json
  assert_equal 20 "$(json '.calls[0].issuances_per_call')"
}

@test "batch: lost, cut, half and garbled answers give nobody a second voucher" {
  start_sandbox
  make_batch 2000 key
  start_vouchd --retry-first 50ms
  faults '{"faults":[
    {"kind":"lost","probability":0.05,"count":8},
    {"kind":"partial","probability":0.1},
    {"kind":"halfway","probability":0.1},
    {"kind":"halfway","status":503,"probability":0.05},
    {"kind":"cut","probability":0.05,"bytes":300},
    {"kind":"truncated","probability":0.05},
    {"kind":"swapped","probability":0.05},
    {"kind":"throttled","probability":0.05,"retry_after":"0"},
    {"kind":"error","probability":0.05}]}'
  submit_shop
  run -0 vouchctl job wait shop-1 --timeout 120s
  assert_equal 2000 "$(issued)"
  judge
}

@test "batch: killed with calls out, the same issuances are sent again and none twice" {
  start_sandbox --latency 60ms
  make_batch 3000 key
  start_vouchd --retry-first 50ms
  submit_shop
  local i
  for i in 200 900 1700 2400; do
    wait_until 30 has_issued "$i"
    stop vouchd KILL || true
    start_vouchd --retry-first 50ms
  done
  run -0 vouchctl job wait shop-1 --timeout 120s
  assert_equal 3000 "$(issued)"
  judge
}

@test "batch: under contract query each of a lost call's issuances is asked about" {
  start_sandbox --keys-max 0
  make_batch 400 query ", \"query\": {\"url\": \"$SANDBOX_URL/coupons/{request_id}\",
    \"rate_percent\": 100, \"outcomes\": [{\"status\": 404, \"pointer\": \"/code\",
    \"value\": \"NOT_FOUND\", \"outcome\": \"not_found\"}]}"
  start_vouchd --retry-first 50ms --query-apart 500ms
  faults '{"faults":[{"kind":"halfway","probability":0.2,"count":5},
                     {"kind":"partial","probability":0.2,"count":5},
                     {"kind":"lost","probability":0.2,"count":2}]}'
  submit_shop
  run -0 vouchctl job wait shop-1 --timeout 120s
  assert_equal 400 "$(issued)"
  (($(asked) >= 30))
  no_doubt_is_called_again
  judge
}

@test "batch: one issuance that breaks every call is found, and the others go on without it" {
  start_sandbox
  RATE=40 make_batch 1500 key
  local poison
  poison=$(sed -n 30p partner.csv | cut -d, -f1)
  start front python3 "$REPOSITORY/tests/e2e/front.py" front.port "$SANDBOX_PORT" front.json \
    --poison "\"$poison\""
  wait_until 10 test -s front.port
  sed -i "s|$SANDBOX_URL|http://127.0.0.1:$(cat front.port)|" coupons.json
  vouchctl -q downstream update coupons --file coupons.json
  start_vouchd --retry-first 50ms
  submit_shop
  run -9 vouchctl job wait shop-1 --timeout 120s
  wait_until 60 has_issued 1499
  assert_equal 1 "$(held)"
  run -0 vouchctl explain "$poison" --reveal
  assert_contains "$output" "held"
  judge
}

@test "batch: an answer is taken apart before anything is called" {
  start_sandbox
  make_batch 1 key
  cat >answer.json <<'JSON'
{"results": [{"request_id": "a", "http_status": 200, "reference": "R-1"},
             {"request_id": "b", "http_status": 422, "code": "RECIPIENT_BLOCKED"},
             {"request_id": "c", "http_status": 500}]}
JSON
  run -0 --separate-stderr vouchctl downstream outcomes test coupons --status 200 \
    --body answer.json -o json
  assert_equal 'a issued R-1,b declined null,c in_doubt null' \
    "$(json 'map("\(.request_id) \(.outcome) \(.reference)") | join(",")')"
  run -0 --separate-stderr vouchctl downstream outcomes test coupons --status 200 \
    --body answer.json --request-id z -o json
  assert_equal in_doubt "$(json '.[0].outcome')"
  assert_contains "$(json '.[0].decided_by')" "no result for it"
  run -0 --separate-stderr vouchctl downstream outcomes test coupons --status 429 -o json
  assert_equal retry "$(json '.[0].outcome')"
}
