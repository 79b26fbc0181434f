# Goal: what a partner's file says of a recipient in further columns reaches the downstream, the
# same in every repeat, and a list without them is refused before a call is made.  Method: the
# rehearsal service behind a gate that writes down what it was sent (front.py).
bats_require_minimum_version 1.5.0
load helpers
load shop

setup() {
  new_place
  cd "$PLACE" || return 1
  start_sandbox
  start front python3 "$REPOSITORY/tests/e2e/front.py" front.port "$SANDBOX_PORT" front.journal
  wait_until 20 test -s front.port
  vouchctl -q init
  vouchctl -q client create shop --lane internal
  write_downstream '{"city": "{{attributes.city}}", "greeting": "To {{attributes.first name}}!"}'
  vouchctl -q downstream create --file downstream.json --limit 500/s
  printf '{"name": "bench", "items": [{"name": "coupon", "kind": "coupon",
    "downstream": "coupons"}]}' >campaign.json
  vouchctl -q campaign create campaign.json
  local i
  printf 'recipient_id,first name,town\n' >partner.csv
  for ((i = 1; i <= 60; ++i)); do
    printf 'cust-%03d,"Zoë ""%d""","Köln / %d"\n' "$i" "$i" "$((i % 7))" >>partner.csv
  done
  printf 'cust-061,,\n' >>partner.csv
}
teardown() {
  stop_all
}

write_downstream() { # BODY_MEMBERS
  jq -n --arg url "http://127.0.0.1:$(cat front.port)/coupons" --argjson more "$1" '{
    name: "coupons", kind: "coupon", url: $url, allow_http: true, contract: "key",
    timeout_ms: 500, request: {url: "\($url)?city={attributes.city}",
      headers: {"X-City": "{{attributes.city}}"},
      body: ({request_id: "{{request_id}}", recipient_id: "{{recipient_id}}"} + $more)}}' \
    >downstream.json
}
front_calls() { jq -r "$1" front.journal; }
# sent_to RECIPIENT EXPRESSION: over .path and .more, the body without its ids.
sent_to() {
  jq -r --arg to "$1" ".body |= fromjson | select(.body.recipient_id == \$to) |
    .more = (.body | del(.recipient_id, .request_id) | tojson) | $2" front.journal | sort -u
}

@test "attributes: columns of the list reach URL and body, and repeats are the same" {
  start_vouchd --retry-first 50ms
  faults '{"faults":[{"kind":"lost","probability":0.3,"count":10}]}'
  submit_shop --map town=city
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 61 "$(issued)"
  judge
  (($(wc -l <front.journal) >= 71))
  assert_equal 61 "$(front_calls '[.key, .path, .body] | @json' | sort -u | wc -l)"
  assert_equal '/coupons?city=K%C3%B6ln%20%2F%203' "$(sent_to cust-010 .path)"
  assert_equal '{"city":"Köln / 3","greeting":"To Zoë \"10\"!"}' "$(sent_to cust-010 .more)"
  # What a row does not have is empty text.
  assert_equal '/coupons?city=' "$(sent_to cust-061 .path)"
  assert_equal '{"city":"","greeting":"To !"}' "$(sent_to cust-061 .more)"
}

@test "attributes: a list without the column is refused, with column, item and downstream" {
  run -7 submit_shop --dry-run
  assert_contains "$output" \
    'the list has no column "city", which calls of coupons for item "coupon" hold'
  assert_contains "$output" "--map THEIRS=city"
  run -7 submit_shop
  assert_equal 0 "$(vouchctl job list -o json | jq length)"
  run -7 vouchctl downstream create other --file <(sed 's/attributes.city/attributes./' \
    downstream.json) --limit 1/s
  assert_contains "$output" "goes before the name of a column"
}

is_paused_for_setup() { [[ "$(ledger 'SELECT pause_reason FROM job')" == 3 ]]; }

@test "attributes: a column that a later template asks for pauses the job until that is mended" {
  start_vouchd --retry-first 50ms --setup-probe 500ms
  vouchctl -q downstream pause coupons --reason "it is changed"
  submit_shop --map town=city
  write_downstream '{"size": "{{attributes.size}}"}'
  vouchctl -q downstream update coupons --file downstream.json
  vouchctl -q downstream resume coupons
  wait_until 20 is_paused_for_setup
  assert_contains "$(vouchctl job show shop-1)" 'no column "size"'
  assert_equal 0 "$(issued)"
  write_downstream '{"city": "{{attributes.city}}"}'
  vouchctl -q downstream update coupons --file downstream.json
  wait_until 30 has_issued 61
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 61 "$(issued)"
  assert_equal 0 "$(front_calls .body | grep -c size)"
}

@test "attributes: one recipient's are said on the command line, and kept for repeats" {
  start_vouchd --retry-first 50ms
  create() { vouchctl issuance create --campaign bench --recipient walk-in "$@"; }
  run -7 create --attribute city=Bonn
  assert_contains "$output" 'there is no attribute "first name"'
  assert_contains "$output" '--attribute first name=VALUE'
  run -2 create --attribute city=Bonn --attribute "first name=A=B" --attribute citty=Ulm
  assert_contains "$output" 'holds "citty"'
  run -2 create --attribute city
  run -2 create --attribute city=Bonn --attribute city=Ulm
  faults '{"faults":[{"kind":"lost","count":2}]}'
  run -0 create --attribute city=Bonn --attribute "first name=A=B" --wait --timeout 30s
  assert_equal 3 "$(wc -l <front.journal)"
  assert_equal '{"city":"Bonn","greeting":"To A=B!"}' "$(sent_to walk-in .more)"
  judge
}
