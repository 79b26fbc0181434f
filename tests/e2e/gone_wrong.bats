# Goal: whatever a downstream answers, forgets or is changed into while calls are in doubt, nobody
# gets two vouchers, nobody is called issued on wrong evidence, and the others go on.  Method: the
# rehearsal services with one fault each, in scaled time, some behind a gate that asks for tokens
# and signatures and writes down what it was sent (front.py); judged by the services' journal.
bats_require_minimum_version 1.5.0
load helpers
load shop

setup() {
  new_place
}
teardown() {
  stop_all
}

readonly hasty=(--retry-first 50ms --retry-max 500ms --breaker-open 50ms --breaker-open-max 500ms
  --breaker-try 20ms --setup-probe 500ms)

in_doubt() { ledger 'SELECT count(*) FROM issuance WHERE state = 3'; }
has_in_doubt() { (($(in_doubt) >= $1)); }
has_held() { (($(held) >= $1)); }
nothing_is_out() { [[ "$(ledger 'SELECT count(*) FROM issuance WHERE state = 1')" == 0 ]]; }
all_have_ended() { nothing_is_out && [[ "$(ledger 'SELECT sum(rows_planned) FROM job_range')" == \
  "$(ledger 'SELECT rows_accepted FROM job')" && "$(in_doubt)" == 0 ]]; }
# doubt_is_older MS: of the last row that came in doubt.
doubt_is_older() {
  (($(date +%s%3N) - $(ledger 'SELECT max(doubt_ms) FROM issuance WHERE state = 3') > $1))
}
# explain_one STATE: what is said of a recipient whose issuance is in that state.
explain_one() {
  local id
  id=$(vouchctl issuance list --job shop-1 --state "$1" --limit 1 -o json | jq -r '.[0].id')
  vouchctl issuance explain "$id"
}

# Settle time, distance of queries and the service's delay are 60 s, 60 s, and 105 s, 30 times
# faster; the second "not found" that would be believed comes after 130 s.
@test "query: not found for longer than the settle time, then found: one voucher" {
  start_sandbox --keys-max 0
  TIMEOUT=300ms SETTLE=2s make_query 60
  start_vouchd "${hasty[@]}" --query-apart 2s
  faults '{"visible_after_ms":3500,"faults":[{"kind":"lost","probability":0.2,"count":8}]}'
  submit_shop
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 60 "$(issued)"
  # Some heard "not found" when the call had settled, and were still not called again.
  (($(ledger 'SELECT count(*) FROM event AS e JOIN event AS call
    ON (call.campaign, call.recipient_key, call.kind, call.to_state) =
       (e.campaign, e.recipient_key, 1, 3)
    WHERE e.kind = 9 AND e.outcome = 8 AND e.at_ms > call.at_ms + 2000') > 0))
  no_doubt_is_called_again
  judge
}

# pass_key_lifetime: rows in doubt, and a pause until the service has forgotten their keys.
pass_key_lifetime() {
  submit_shop
  wait_until 20 has_issued 20
  faults '{"visible_after_ms":60000,"faults":[{"kind":"lost","probability":1}]}'
  wait_until 20 has_in_doubt 5
  vouchctl -q job pause shop-1 --reason "a key lifetime passes"
  wait_until 20 nothing_is_out
  before=$(in_doubt)
  ((before >= 5))
  faults '{"visible_after_ms":60000}'
  wait_until 20 doubt_is_older 3000
  faults '{}'
}

@test "key: a key lifetime that passes during a pause: held, never repeated" {
  start_sandbox --key-memory 3s
  RATE=200 make_contract 200 key --key-lifetime 3s
  start_vouchd "${hasty[@]}"
  pass_key_lifetime
  vouchctl -q job resume shop-1
  wait_until 30 all_have_ended
  run -9 vouchctl job wait shop-1 --timeout 60s
  assert_equal "$before" "$(held)"
  assert_equal 200 "$(($(issued) + before))"
  assert_contains "$(explain_one held)" "in doubt for longer than the downstream keeps its keys"
  judge --open
}

@test "key with a query: a key lifetime that passes during a pause is asked about" {
  start_sandbox --key-memory 3s
  RATE=200 CONTRACT=key make_query 200 --key-lifetime 3s
  start_vouchd "${hasty[@]}" --query-apart 1m
  pass_key_lifetime
  local calls
  calls=$(ledger 'SELECT count(*) FROM event WHERE kind = 1 AND to_state = 3')
  vouchctl -q job resume shop-1
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 200 "$(issued)"
  assert_equal "$calls" "$(ledger 'SELECT count(*) FROM event WHERE kind = 1 AND to_state = 3')"
  judge
}

# The service has executed the call, and says 500 to its key for ever.
readonly saved='{"faults":[{"kind":"error","status":500,"sticky":true,"executes":true,
  "fixed_body":true,"after":20,"count":3}]}'

@test "key: a saved 500 for ever is held after three, the others go on" {
  start_sandbox
  RATE=100 make_contract 300 key
  start_vouchd "${hasty[@]}"
  faults "$saved"
  submit_shop
  wait_until 60 all_have_ended
  run -9 vouchctl job wait shop-1 --timeout 60s
  assert_equal "297 3" "$(issued) $(held)"
  # Three of each count; one between which no other row succeeded does not.
  (($(ledger 'SELECT count(*) FROM event WHERE http_status = 500') >= 9))
  assert_equal "3 3" "$(ledger 'SELECT min(strikes), max(strikes) FROM issuance WHERE state = 4' |
    tr '|' ' ')"
  assert_contains "$(explain_one held)" "HTTP 500"
  judge --open
}

@test "key with a query: a saved 500 for ever is asked about, and was issued" {
  start_sandbox
  RATE=100 CONTRACT=key make_query 300
  start_vouchd "${hasty[@]}"
  faults "$saved"
  submit_shop
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 300 "$(issued)"
  (($(asked) >= 3))
  judge
}

# Each of them is executed, and answered by what must not be believed.
readonly bent=(wrong_amount wrong_currency swapped malformed truncated wrong_type cut)
bend() { # COUNT: so many of each kind
  local kind list=()
  for kind in "${bent[@]}"; do
    list+=("{\"kind\":\"$kind\",\"probability\":0.1,\"count\":$1}")
  done
  faults "{\"faults\":[$(IFS=, && printf '%s' "${list[*]}")]}"
}
# How many answers were bent: `count` of each.
all_were_bent() {
  assert_equal "${#bent[@]}" "$(curl -sS "$SANDBOX_URL/faults" |
    jq "[.coupons.faults[] | select(.fired == $1)] | length")"
}

@test "key: wrong amounts and currencies, others' replies, rubbish: in doubt, then the truth" {
  start_sandbox
  make_contract 400 key
  start_vouchd "${hasty[@]}"
  bend 4
  submit_shop
  run -0 vouchctl job wait shop-1 --timeout 60s
  all_were_bent 4
  assert_equal 400 "$(issued)"
  (($(ledger 'SELECT count(*) FROM event WHERE kind = 1 AND outcome = 3') >= 4 * ${#bent[@]}))
  judge
}

@test "query: wrong amounts and currencies, others' replies, rubbish: asked, then the truth" {
  start_sandbox --keys-max 0
  make_query 400
  start_vouchd "${hasty[@]}" --query-apart 500ms
  bend 4
  submit_shop
  run -0 vouchctl job wait shop-1 --timeout 60s
  all_were_bent 4
  assert_equal 400 "$(issued)"
  no_doubt_is_called_again
  judge
}

@test "none: wrong amounts and currencies, others' replies, rubbish: each is held" {
  start_sandbox --keys-max 0
  make_contract 400 none
  start_vouchd "${hasty[@]}"
  bend 2
  submit_shop --accept-uncertain
  wait_until 60 all_have_ended
  run -9 vouchctl job wait shop-1 --timeout 60s
  all_were_bent 2
  assert_equal "$((400 - 2 * ${#bent[@]})) $((2 * ${#bent[@]}))" "$(issued) $(held)"
  judge --open
}

@test "query: a downstream that tells of another amount than was called for is for people" {
  start_sandbox --keys-max 0
  make_query 100
  start_vouchd "${hasty[@]}"
  faults '{"faults":[{"kind":"wrong_amount","applies_to":"queries"},
    {"kind":"closed","probability":0.2,"count":5}]}'
  submit_shop
  wait_until 60 all_have_ended
  run -9 vouchctl job wait shop-1 --timeout 60s
  assert_equal "95 5" "$(issued) $(held)"
  assert_contains "$(explain_one held)" "another amount"
  judge --open
}

# --- behind the gate -----------------------------------------------------------------------------

start_front() { # OPTIONS...: sets FRONT_URL
  start front python3 "$REPOSITORY/tests/e2e/front.py" "$PLACE/front.port" "$SANDBOX_PORT" \
    "$PLACE/front.journal" "$@"
  wait_until 20 test -s "$PLACE/front.port"
  FRONT_URL=http://127.0.0.1:$(cat "$PLACE/front.port")
}
make_fronted() { # ROWS [OPTIONS...]
  SANDBOX_URL=$FRONT_URL make_contract "$1" key "${@:2}"
}
front_calls() { jq -c "$1" "$PLACE/front.journal"; }

@test "html: a page with status 200 is no voucher, though the call was executed" {
  start_sandbox
  start_front --html 6
  make_fronted 60
  start_vouchd "${hasty[@]}"
  submit_shop
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 60 "$(issued)"
  assert_equal 6 "$(ledger "SELECT count(*) FROM event WHERE http_status = 200 AND outcome = 3
    AND detail = 'the reply is not the JSON that was agreed'")"
  judge
}

is_paused_for_setup() { [[ "$(ledger 'SELECT pause_reason FROM job')" == 3 ]]; }

@test "credential: it dies at row 5,000; the job goes on by itself with the new one" {
  start_sandbox
  start_front --tokens 5000
  printf 'first\n' >"$PLACE/token"
  RATE=4000 TIMEOUT=5s make_fronted 6000 --bearer-file "$PLACE/token"
  start_vouchd "${hasty[@]}"
  submit_shop
  wait_until 120 is_paused_for_setup
  assert_contains "$(vouchctl job show shop-1)" "credentials"
  assert_equal 5000 "$(grep -c . "$PLACE/journals/coupons.csv" | awk '{ print $1 - 1 }')"
  printf 'second\n' >"$PLACE/token"
  wait_until 120 has_issued 6000
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 0 "$(ledger 'SELECT sum(failed + held + declined) FROM job_range')"
  judge
}

# Its own amount's name, and signed, so that both can be changed.
write_signed() { # AMOUNT_MEMBER
  jq -n --arg url "$FRONT_URL/coupons" --arg secret "$PLACE/secret" --arg amount "$1" '{
    name: "coupons", kind: "coupon", url: $url, allow_http: true, contract: "key",
    timeout_ms: 500,
    request: {body: {request_id: "{{request_id}}", recipient_id: "{{recipient_id}}",
      amount_minor: "{{amount_minor}}", currency: "{{currency}}", note: $amount}},
    signing: {scheme: "hmac-sha256", secret_file: $secret, timestamp: "milliseconds",
      canonical: "{{timestamp}}\n{{path}}\n{{body_sha256}}",
      headers: {"X-Timestamp": "{{timestamp}}", "X-Signature": "{{signature}}"}},
    outcomes: [{status: 422, pointer: "/code", outcome: "declined"}]}' >"$PLACE/signed.json"
}

@test "changes: template, outcomes, secret change while rows are in doubt; a repeat is the same" {
  start_sandbox
  printf 'the old secret\n' >"$PLACE/secret"
  start_front --secret-file "$PLACE/secret"
  write_signed before
  vouchctl -q init
  vouchctl -q downstream create --file "$PLACE/signed.json" --limit 200/s
  vouchctl -q client create shop --lane internal
  vouchctl -q campaign create "$REPOSITORY/tests/bench/campaign.json"
  make-recipients --rows 200 >"$PLACE/partner.csv"
  start_vouchd "${hasty[@]}"
  submit_shop
  wait_until 20 has_issued 20
  faults '{"faults":[{"kind":"lost","probability":1}]}'
  wait_until 20 has_in_doubt 5
  vouchctl -q downstream pause coupons --reason "it is changed"
  wait_until 20 nothing_is_out
  local list
  list=$(vouchctl recipients list -o json | jq -r '.[0].name')
  run -6 vouchctl recipients delete "$list" --yes
  assert_contains "$output" "is still needed by job_"

  local old
  old=$(front_calls .key | sort -u | wc -l)
  write_signed after
  vouchctl -q downstream update coupons --file "$PLACE/signed.json"
  vouchctl -q downstream outcomes edit coupons --file <(printf '[{"status": 201, "outcome": "hold"},
    {"status": 422, "outcome": "declined"}]')
  vouchctl -q downstream outcomes edit coupons \
    --file <(printf '[{"status": 422, "outcome": "declined"}]')
  printf 'the new secret\n' >"$PLACE/secret"
  faults '{}'
  vouchctl -q downstream resume coupons
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 200 "$(issued)"
  judge

  # What was called before the change kept its bytes; what was not is called by the new template.
  assert_equal "$old" "$(front_calls 'select(.body | contains("\"before\"")) | .key' |
    sort -u | wc -l)"
  assert_equal "$((200 - old))" "$(front_calls 'select(.body | contains("\"after\"")) | .key' |
    sort -u | wc -l)"
  assert_equal 200 "$(front_calls '[.key, .path, .body]' | sort -u | wc -l)"
  # Each repeat was signed anew, and accepted under the secret of its time.
  (($(wc -l <"$PLACE/front.journal") >= 205))
  assert_equal "$(wc -l <"$PLACE/front.journal")" "$(front_calls .signature | sort -u | wc -l)"
}

says_list_is_away() { curl --silent "$ADMIN_URL/readyz?verbose" | grep -q 'recipients/'; }

@test "changes: the list is lost while rows are in doubt: nothing is sent until it is back" {
  start_sandbox
  RATE=200 make_contract 200 key
  start_vouchd "${hasty[@]}"
  submit_shop
  wait_until 20 has_issued 20
  faults '{"faults":[{"kind":"lost","probability":1}]}'
  wait_until 20 has_in_doubt 5
  stop vouchd
  faults '{}'
  mkdir "$PLACE/away"
  mv "$VOUCH_STORE"/recipients/*.db "$PLACE/away"
  local states
  states=$(ledger 'SELECT state, count(*) FROM issuance GROUP BY state')
  # vouchd has it open no more, and cannot make the same bytes again.
  start_vouchd "${hasty[@]}"
  wait_until 10 says_list_is_away
  assert_contains "$(vouchctl doctor --trouble)" "lists"
  run -0 --separate-stderr vouchctl job show shop-1 -o json
  assert_contains "$output" "the file of its list"
  assert_equal "$states" "$(ledger 'SELECT state, count(*) FROM issuance GROUP BY state')"
  mv "$PLACE"/away/*.db "$VOUCH_STORE/recipients"
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 200 "$(issued)"
  judge
}
