# shop.bash: a campaign with a coupon for everyone, ready to be submitted; for tests that look at
# what a job does to the services.  After helpers.bash.

# make_shop ROWS [RATE [IN_FLIGHT]]: store, service, client, campaign and a list.
make_shop() {
  local rows=$1 rate=${2:-2000} in_flight=${3:-32}
  vouchctl -q init
  vouchctl -q downstream create coupons --kind coupon --contract key --allow-http \
    --url "$SANDBOX_URL/coupons" --timeout 1s --in-flight "$in_flight" --limit "$rate/s" \
    --outcomes "$REPOSITORY/examples/outcomes-sandbox.json"
  vouchctl -q client create shop --lane internal
  vouchctl -q campaign create "$REPOSITORY/tests/bench/campaign.json"
  make-recipients --rows "$rows" >"$PLACE/partner.csv"
}

# make_contract ROWS CONTRACT [OPTIONS...]: as make_shop, with that contract, and the
# calls' $TIMEOUT and $RATE.
make_contract() {
  local rows=$1 contract=$2
  shift 2
  vouchctl -q init
  vouchctl -q downstream create coupons --kind coupon --contract "$contract" --allow-http \
    --url "$SANDBOX_URL/coupons" --timeout "${TIMEOUT:-500ms}" --limit "${RATE:-1000}/s" \
    --outcomes "$REPOSITORY/examples/outcomes-sandbox.json" "$@"
  vouchctl -q client create shop --lane internal
  vouchctl -q campaign create "$REPOSITORY/tests/bench/campaign.json"
  make-recipients --rows "$rows" >"$PLACE/partner.csv"
}

# make_query ROWS [OPTIONS...]: one that can be asked, under contract $CONTRACT; it has settled
# after $SETTLE.
make_query() {
  printf '[{"status": 404, "pointer": "/code", "value": "NOT_FOUND", "outcome": "not_found"}]\n' \
    >"$PLACE/query.json"
  make_contract "$1" "${CONTRACT:-query}" --settle-time "${SETTLE:-1s}" \
    --query-outcomes "$PLACE/query.json" --query-url "$SANDBOX_URL/coupons/{request_id}" "${@:2}"
}

submit_shop() { # [OPTIONS...]: prints the job's id
  vouchctl job submit --campaign bench --client shop --file "$PLACE/partner.csv" \
    --submit-key shop-1 -o name "$@"
}

ledger() { # SQL: one value
  sqlite3 -readonly -cmd '.timeout 5000' "$VOUCH_STORE/ledger/main/ledger.db" "$1"
}

issued() { ledger 'SELECT count(*) FROM issuance WHERE state = 5'; }
has_issued() { (($(issued) >= $1)); }
held() { ledger 'SELECT count(*) FROM issuance WHERE state = 4'; }
asked() { ledger 'SELECT count(*) FROM event WHERE kind = 9'; }
# Nobody who may have been executed was called again.
no_doubt_is_called_again() {
  assert_equal 0 "$(ledger 'SELECT count(*) FROM event AS e JOIN event AS before
    ON before.seq = e.prev_seq WHERE e.from_state = 1 AND before.to_state = 3')"
}

# waits_for_people JOB: the ledger is an older copy, and nothing of the job is called until it is
# resumed.
waits_for_people() {
  local status=0 words
  words=$(vouchctl job wait "$1" --timeout 30s 2>&1) || status=$?
  assert_equal 9 "$status"
  assert_contains "$words" "the ledger is an older copy"
  assert_contains "$words" "vouchctl job resume job_"
  assert_contains "$(vouchctl job show "$1")" "paused"
}

# Ledger and journals agree, to the last voucher.
judge() { python3 "$REPOSITORY/tests/campaigns/judge.py" "$VOUCH_STORE/ledger/main/ledger.db" \
  "$PLACE/journals" "$@"; }

# The services' faults from here on, as PUT /faults/coupons takes them.
faults() { curl -sS --fail -X PUT -d "$1" "$SANDBOX_URL/faults/coupons" >/dev/null; }
