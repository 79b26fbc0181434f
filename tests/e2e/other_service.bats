# Goal: a service that Vouch has never heard of is called by files alone, and nobody gets two gifts
# from it or none.  Method: examples/other-service as it stands, but for port and secret; the
# service answers 5 % of its calls with errors of its envelope and executes 5 % without an answer;
# judged from the service's own journal.
bats_require_minimum_version 1.5.0
load helpers

setup() {
  new_place
  cd "$PLACE" || return 1
  printf 'a secret of this test\n' >gifts.secret
  chmod 600 gifts.secret
}
teardown() { stop_all; }

start_gifts() { # OPTIONS...
  rm -f gifts.port
  start gifts python3 "$REPOSITORY/examples/other-service/service.py" --port 0 \
    --port-file gifts.port --secret-file gifts.secret --journal "$PLACE/gifts.journal" "$@"
  wait_until 20 test -s gifts.port
  sed "s/8090/$(cat gifts.port)/; s|/etc/vouch/gifts.secret|$PLACE/gifts.secret|" \
    "$REPOSITORY/examples/other-service/downstream.json" >downstream.json
}

# make_store ROWS: every twentieth customer is one that the service turns away.
make_store() {
  local i
  vouchctl -q init
  vouchctl -q client create shop
  vouchctl -q downstream create --file downstream.json --limit 400/s
  vouchctl -q campaign create "$REPOSITORY/examples/other-service/campaign.json"
  printf 'recipient_id,value\n' >list.csv
  for ((i = 1; i <= $1; ++i)); do
    printf 'k/%d ü%s,%d.50\n' "$i" "$((i % 20 ? 0 : 1))" "$((i % 9 + 1))"
  done | sed 's/ü1,/ü-blocked,/; s/ü0,/ü,/' >>list.csv
}

submit() {
  vouchctl job submit --campaign gift-cards --client shop --file list.csv --amount-unit major \
    --submit-key gifts -o name
}

@test "kind other: 200 rows through an envelope, signed, with errors and lost answers" {
  start_gifts --error-percent 5 --lose-percent 5
  make_store 200
  start_vouchd
  job=$(submit)
  run -3 vouchctl job wait "$job" --timeout 120s
  run -0 vouchctl job show "$job" -o json
  assert_equal "190 10" "$(json '"\(.issued) \(.declined)"')"

  # Nobody has two, nobody has none, and each reference is that of the journal.
  assert_equal 190 "$(wc -l <gifts.journal)"
  assert_equal 190 "$(jq -r .customer gifts.journal | sort -u | wc -l)"
  assert_equal 190 "$(jq -r .order_no gifts.journal | sort -u | wc -l)"
  vouchctl job results "$job" -o ndjson >results
  diff <(jq -r 'select(.vouch_result == "issued") |
    "\(.recipient_id) \(.vouch_reference) \(.vouch_amount_minor)"' \
    results | sort) <(jq -r '"\(.customer) \(.gift_no) \(.value | sub("\\.";"") | tonumber)"' \
    gifts.journal | sort)
  assert_equal '{"design":"winter","notify":false}' "$(jq -c .options gifts.journal | sort -u)"

  # The secret is nowhere but in its file.
  run ! grep -rl 'a secret of this test' "$VOUCH_STORE" "$PLACE/vouchd.log" downstream.json
}

@test "kind other: a test call is signed, and a wrong secret pauses the job" {
  start_gifts
  make_store 3
  printf 'another secret\n' >other.secret
  vouchctl -q downstream update gifts --file <(sed 's/gifts.secret/other.secret/' downstream.json)
  start_vouchd
  job=$(submit)
  is_paused() {
    [[ "$(vouchctl job list -o json | jq -r '.[] | "\(.state) \(.reason)"')" == "paused setup" ]]
  }
  wait_until 30 is_paused
  assert_equal 0 "$(wc -l <gifts.journal)"
  run -0 vouchctl downstream test gifts -o json
  assert_equal 200 "$(json .http_status)"
}
