# Goal: a reconciliation finds what is wrong between the ledger and a downstream's statement, all
# of it and nothing else, and settles what the statement proves.  Method: the sandbox's own
# statement, true or with planted differences (plant.py), and its faults.
bats_require_minimum_version 1.5.0
load helpers
load shop

setup() {
  new_place
}
teardown() {
  stop_all
}

# A drained job of $1 rows, and the sandbox's statement of it in statement.csv.
drained_shop() {
  start_sandbox
  make_shop "$1"
  submit_shop
  start_vouchd
  run -0 vouchctl job wait shop-1 --timeout 60s
  curl -sS --fail "$SANDBOX_URL/coupons/statement.csv" >"$PLACE/statement.csv"
}

reconcile() { vouchctl reconcile coupons --statement "$PLACE/statement.csv" --margin 0s "$@"; }

# What a report of planted.csv must say: `class request_id` lines.
planted() {
  vouchctl reconcile coupons --statement "$PLACE/planted.csv" --delimiter semicolon --margin 0s \
    --map 交易时间=time --map voucher=reference --map "order no=request_id" \
    --map customer=recipient_id --time-zone Asia/Shanghai --amount-unit major "$@"
}
rows_of_report() { jq -r '.rows[] | .class + " " + .request_id' "$PLACE/report.json" | sort; }

# bats test_tags=short
@test "reconcile: a true statement balances, to the last row" {
  drained_shop 500
  run -0 reconcile -o json --report "$PLACE/report.json" --csv "$PLACE/report.csv"
  assert_equal balanced "$(json .verdict)"
  assert_equal 500 "$(json '.classes[] | select(.class == "match") | .found')"
  assert_equal 250000 "$(json '.classes[] | select(.class == "match") | .ledger_minor')"
  assert_equal 250000 "$(json '.classes[] | select(.class == "match") | .statement_minor')"
  assert_equal "$(json .ledger_digest)" "$(json .statement_digest)"
  assert_equal true "$(json .proved)"
  assert_equal '["amount","currency","recipient","reference"]' "$(json '.compared | tojson')"
  assert_equal 0 "$(jq '.rows | length' "$PLACE/report.json")"
  assert_equal 1 "$(wc -l <"$PLACE/report.csv")"
  # The same from a shuffled and compressed file on standard input.
  { head -1 "$PLACE/statement.csv" && tail -n +2 "$PLACE/statement.csv" | shuf; } | gzip \
    >"$PLACE/shuffled.csv.gz"
  local digest
  digest=$(json .ledger_digest)
  output=$(vouchctl reconcile coupons --statement - --margin 0s -o json <"$PLACE/shuffled.csv.gz")
  assert_equal "$digest" "$(json .statement_digest)"
}

@test "reconcile: planted differences are found, all of them and nothing else" {
  drained_shop 400
  python3 "$REPOSITORY/tests/e2e/plant.py" "$PLACE/statement.csv" "$PLACE/planted.csv" \
    >"$PLACE/want"
  run -3 planted --report "$PLACE/report.json" --csv "$PLACE/report.csv" -o json
  assert_equal differences "$(json .verdict)"
  assert_equal true "$(json .proved)"
  diff "$PLACE/want" <(rows_of_report)
  assert_equal 20 "$(json .differences)"
  assert_equal 2 "$(json .passed_over)"
  assert_equal 21 "$(wc -l <"$PLACE/report.csv")"
  assert_equal "amount currency recipient reference" \
    "$(jq -r '[.rows[].differs[]] | unique | join(" ")' "$PLACE/report.json")"
  # People read the same.
  run -3 planted
  assert_contains "$output" "lost"
  assert_contains "$output" "400 = 400 by state"
  # Where others use the downstream too, their vouchers are no ghosts.
  run -3 planted --shared -o json
  assert_equal 18 "$(json .differences)"
}

@test "reconcile: around midnight in another zone, each row is on its own side" {
  drained_shop 12
  stop vouchd
  # Rows of the ledger moved to both sides of Shanghai's midnight, 16:00 UTC, and none in the
  # statement: those inside are lost, those near the end may come with the next one.
  local midnight=1795363200000 key sql="" offset
  local offsets=(-90000000 -86340000 -86000000 -3600000 -660000 -60000 -1000 0 1000 240000 660000
    3600000)
  local index=0
  for key in $(ledger 'SELECT hex(recipient_key) FROM issuance ORDER BY recipient_key'); do
    offset=${offsets[$index]}
    ((++index))
    sql+="UPDATE issuance SET intent_ms = $((midnight + offset)) WHERE hex(recipient_key) = '$key';"
    sql+="UPDATE event SET at_ms = $((midnight + offset)) WHERE hex(recipient_key) = '$key';"
  done
  sqlite3 "$VOUCH_STORE/ledger/main/ledger.db" "$sql"
  head -1 "$PLACE/statement.csv" >"$PLACE/planted.csv"
  cat >"$PLACE/planted.csv" <<'CSV'
request_id,time
before,2026-11-21 23:59:59.999
first,2026-11-22 00:00:00
last,2026-11-22 23:59:59.999
behind,2026-11-23 00:00:00
CSV
  run -3 vouchctl reconcile coupons --statement "$PLACE/planted.csv" --time-zone Asia/Shanghai \
    --since 2026-11-22 --until 2026-11-23 --margin 5m --report "$PLACE/report.json" -o json
  assert_equal 2026-11-22T16:00:00.000Z "$(json .until)"
  assert_equal 3 "$(json '.classes[] | select(.class == "lost") | .found')"
  assert_equal 6 "$(json '.classes[] | select(.class == "late") | .found')"
  assert_equal "ghost first ghost last" "$(jq -r '[.rows[] | select(.class == "ghost") |
    .class + " " + .request_id] | sort | join(" ")' "$PLACE/report.json")"
  assert_equal 5 "$(json '[.classes[] | select(.class == "outside") | .found] | add')"
}

@test "reconcile: a statement that is not understood is refused whole, with line and column" {
  drained_shop 5
  local file=$PLACE/statement.csv
  refused() { # LINE-EDIT WORDS
    sed "$1" "$file" >"$PLACE/bad.csv"
    run -7 vouchctl reconcile coupons --statement "$PLACE/bad.csv" --report "$PLACE/report.json"
    assert_contains "$output" "$2"
    [[ ! -e "$PLACE/report.json" && ! -e "$PLACE/report.json.unfinished" ]]
  }
  refused '3s/,500,/,5e2,/' 'line 3: column amount_minor: "5e2" has an exponent'
  refused '4s/CNY/yuan/' 'line 4: column currency: "yuan" is not a currency'
  refused '2s/^[0-9]*/yesterday/' 'line 2: column time_ms: "yesterday" is not a time'
  refused '6s/^/x,/' 'line 6: 7 fields, where the header has 6'
  refused '5s/c-/"c/' 'line 5: column reference: '
  refused '1s/request_id/id/' 'line 1: no column request_id'
  refused '1,$d' 'is empty'
  run -2 vouchctl reconcile coupons --statement "$file" --map "time_ms=when"
  run -2 vouchctl reconcile coupons --statement "$file" --time-zone Mars/Olympus
  run -5 vouchctl reconcile nowhere --statement "$file"
  run -5 vouchctl reconcile coupons --statement "$PLACE/none.csv"
}

@test "reconcile: the downstream's own pages say the same as its file" {
  drained_shop 250
  run -6 vouchctl reconcile coupons --fetch
  assert_contains "$output" "no statement to be fetched"
  run -2 vouchctl reconcile coupons
  run -2 vouchctl reconcile coupons --fetch --statement "$PLACE/statement.csv"
  local digest
  digest=$(reconcile -o json | jq -r .statement_digest)
  vouchctl -q downstream update coupons --statement-url "$SANDBOX_URL/coupons/statement"
  run -0 vouchctl reconcile coupons --fetch --margin 0s -o json
  assert_equal balanced "$(json .verdict)"
  assert_equal "$digest" "$(json .statement_digest)"
  assert_equal '["amount","currency","recipient","reference"]' "$(json '.compared | tojson')"
  # In pages of 7, with a definition from a file.
  jq -n --arg url "$SANDBOX_URL/coupons" '{name: "coupons", kind: "coupon", url: $url,
    allow_http: true, contract: "key",
    statement: {url: ($url + "/statement"), page_entries: 7}}' >"$PLACE/coupons.json"
  vouchctl -q downstream update coupons --file "$PLACE/coupons.json"
  run -0 vouchctl reconcile coupons --fetch --margin 0s -o json
  assert_equal 250 "$(json .statement_lines)"
  # Pages that are no statement, or cannot be had, are refused whole.
  vouchctl -q downstream update coupons --statement-url "$SANDBOX_URL/coupons/nothing"
  run -7 vouchctl reconcile coupons --fetch
  assert_contains "$output" "page 1 of the statement"
  vouchctl -q downstream update coupons --statement-url "$SANDBOX_URL/faults"
  run -7 vouchctl reconcile coupons --fetch
  assert_contains "$output" "/entries: is no array of entries"
  stop sandbox
  run -12 vouchctl reconcile coupons --fetch
}

# A job whose lost answers ended as held, since the downstream forgets keys soon.
shop_with_held_rows() { # ROWS FAULT
  start_sandbox
  make_shop "$1"
  vouchctl -q downstream update coupons --key-lifetime 2s --settle-time 1s \
    --statement-url "$SANDBOX_URL/coupons/statement"
  faults "{\"faults\":[$2]}"
  submit_shop
  start_vouchd --retry-first 10s
  run -9 vouchctl job wait shop-1 --timeout 60s
  faults '{"faults":[]}'
}
held() { ledger 'SELECT sum(held) FROM job_range'; }

@test "resolve: lost answers are held, the statement proves them issued, the job is done" {
  shop_with_held_rows 200 '{"kind":"lost","probability":0.1}'
  local count
  count=$(held)
  ((count > 0))
  # Looking changes nothing, and says that a person is needed.
  run -9 vouchctl reconcile coupons --fetch --margin 0s -o json
  assert_equal undecided "$(json .verdict)"
  assert_equal "$count" "$(json '.classes[] | select(.class == "resolves") | .found')"
  run -9 vouchctl reconcile coupons --fetch --margin 0s --resolve --dry-run
  assert_equal "$count" "$(held)"

  run -0 vouchctl reconcile coupons --fetch --margin 0s --resolve -o json
  assert_equal balanced "$(json .verdict)"
  assert_equal "$count" "$(json .resolved)"
  assert_equal 0 "$(held)"
  assert_equal 200 "$(ledger 'SELECT sum(issued) FROM job_range')"
  run -0 vouchctl job wait shop-1 --timeout 10s
  # The evidence is kept with its source.
  assert_equal "$count" "$(ledger "SELECT count(*) FROM event
    WHERE kind = 10 AND reference LIKE 'c-%' AND detail LIKE 'statement statement, given by %'")"
  judge
  run -0 vouchctl reconcile coupons --fetch --margin 0s -o json
  assert_equal 200 "$(json '.classes[] | select(.class == "match") | .found')"
}

@test "resolve: what the statement contradicts stays held" {
  shop_with_held_rows 100 '{"kind":"lost","probability":0.1}'
  local count
  count=$(held)
  ((count > 1))
  curl -sS --fail "$SANDBOX_URL/coupons/statement.csv" >"$PLACE/statement.csv"
  local wrong
  wrong=$(vouchctl issuance list --state held --job shop-1 -o name | head -1)
  sed -i "/$wrong/s/,500,/,499,/" "$PLACE/statement.csv"
  run -3 reconcile --resolve --report "$PLACE/report.json" -o json
  assert_equal "$((count - 1))" "$(json .resolved)"
  assert_equal "differs $wrong" "$(rows_of_report | grep differs)"
  assert_equal 1 "$(held)"
}

@test "resolve: what was never executed is only given up where the statement covers it" {
  # Calls that are dropped before they are executed: nothing of them is in the statement.
  shop_with_held_rows 50 '{"kind":"lost","executes":false,"probability":0.2}'
  local count
  count=$(held)
  ((count > 0))
  # A file that does not say where it ends proves nothing by what it lacks.
  curl -sS --fail "$SANDBOX_URL/coupons/statement.csv" >"$PLACE/statement.csv"
  run -9 reconcile --resolve-negative -o json
  assert_equal "$count" "$(json '.classes[] | select(.class == "in_doubt") | .found')"
  assert_equal 0 "$(json .resolved)"
  covered() {
    vouchctl reconcile coupons --fetch --margin 0s --resolve-negative -o json >"$PLACE/out.json"
  }
  wait_until 20 covered
  assert_equal "$count" "$(jq '.resolved' "$PLACE/out.json")"
  assert_equal 0 "$(held)"
  assert_equal "$count" "$(ledger 'SELECT sum(failed) FROM job_range')"
  judge
}

@test "close: only a job that balances with all its downstreams is closed" {
  drained_shop 120
  run -6 vouchctl job close shop-1
  assert_contains "$output" "it was never reconciled with coupons"
  # A statement that lacks a row, and one that ends too early.
  sed 2d "$PLACE/statement.csv" >"$PLACE/short.csv"
  run -3 vouchctl reconcile coupons --statement "$PLACE/short.csv" --margin 0s
  run -6 vouchctl job close shop-1
  assert_contains "$output" "found 1 difference"
  run -0 vouchctl reconcile coupons --statement "$PLACE/short.csv" --cut-off now --margin 1h
  run -6 vouchctl job close shop-1
  assert_contains "$output" "the statements have 119 of its 120 issued rows"
  # A rehearsal is not recorded.
  run -0 reconcile --dry-run
  run -6 vouchctl job close shop-1
  run -0 reconcile --job shop-1
  run -0 vouchctl job close shop-1 --dry-run
  assert_equal "done" "$(vouchctl job show shop-1 -o json | jq -r .state)"
  run -0 vouchctl job close shop-1
  assert_equal closed "$(vouchctl job show shop-1 -o json | jq -r .state)"
  run -0 vouchctl job close shop-1
  run -6 vouchctl job cancel shop-1 --yes
  run -0 vouchctl job wait shop-1 --timeout 10s
  assert_contains "$(vouchctl log -o ndjson)" "closed: balanced, by"
  # Closed it stays, after a restart too.
  stop vouchd
  start_vouchd
  assert_equal closed "$(vouchctl job show shop-1 -o json | jq -r .state)"
}

@test "close: a job that was unsettled is closed when a statement has settled it" {
  shop_with_held_rows 100 '{"kind":"lost","probability":0.1}'
  run -6 vouchctl job close shop-1
  assert_contains "$output" "in doubt or held"
  run -0 vouchctl reconcile coupons --fetch --margin 0s --resolve
  run -0 vouchctl job close shop-1 -o json
  assert_equal closed "$(json .state)"
  judge
}

# What a statement up to tomorrow lacks may still come: taken for proof, it gave 26 people a second
# voucher.
@test "reconcile: a statement cannot have what is still to be executed" {
  start_sandbox
  make_shop 1
  for flag in --cut-off --until; do
    run -7 vouchctl reconcile coupons --statement coupons.csv "$flag" 2099-01-01 \
      --resolve-negative
    assert_contains "$output" "lies ahead"
  done
}
