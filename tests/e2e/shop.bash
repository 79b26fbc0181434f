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

submit_shop() { # [OPTIONS...]: prints the job's id
  vouchctl job submit --campaign bench --client shop --file "$PLACE/partner.csv" \
    --submit-key shop-1 -o name "$@"
}

ledger() { # SQL: one value
  sqlite3 -readonly -cmd '.timeout 5000' "$VOUCH_STORE/ledger/main/ledger.db" "$1"
}

# Ledger and journals agree, to the last voucher.
judge() { python3 "$REPOSITORY/tests/campaigns/judge.py" "$VOUCH_STORE/ledger/main/ledger.db" \
  "$PLACE/journals" "$@"; }

# The services' faults from here on, as PUT /faults/coupons takes them.
faults() { curl -sS --fail -X PUT -d "$1" "$SANDBOX_URL/faults/coupons" >/dev/null; }
