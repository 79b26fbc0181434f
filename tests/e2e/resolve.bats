# Goal: people settle what no automatic can, exactly the rows they were shown.  Method: a downstream
# of contract none that loses answers, and its journal, which knows what was executed.
bats_require_minimum_version 1.5.0
load helpers
load shop
load held

setup() { new_room; }
teardown() { leave_room; }

# bats test_tags=short
@test "resolve: one row with its reference, a set by a file, one failed, the rest called again" {
  held_shop 100
  local first lost
  first=$(head -1 "$PLACE/executed.ids")
  lost=$(head -1 "$PLACE/lost.ids")
  # Nothing without evidence, without a yes, or without a reason.
  run -2 resolve "$first" --as issued --reason "seen" --yes
  assert_contains "$output" "evidence"
  run -2 resolve "$first" --as failed --yes
  run -2 resolve "$lost" --as failed --reason "not there"
  assert_contains "$output" "--yes"
  run -2 resolve --as failed --reason "which?" --yes
  run -0 resolve "$first" --as issued --reference x --reason "seen" --dry-run -o json
  assert_equal 1 "$(json .rows)"
  assert_equal 0 "$(ledger 'SELECT count(*) FROM proposal')"

  run -0 resolve "$first" --as issued --reference "$(reference_of "$first")" \
    --reason "on their list" --yes
  run -6 resolve "$first" --as failed --reason "again" --yes
  assert_contains "$output" "is issued"
  # The statement itself is a file of references; lines about other rows are told.
  run -0 --separate-stderr resolve --job shop-1 --state held --as issued \
    --references "$PLACE/statement.csv" --reason "their statement" --yes -o json
  assert_equal "$(($(wc -l <"$PLACE/executed.ids") - 1))" "$(json .applied)"
  run -0 resolve "$lost" --as failed --reason "they have no such call" --yes
  assert_equal "$(($(wc -l <"$PLACE/lost.ids") - 1))" "$(held)"
  assert_contains "$(vouchctl issuance show "$lost" --timeline)" "they have no such call"

  # The others are called once more, under the request ids they have.
  run -0 resolve --job shop-1 --state held --where outcome=unknown --as waiting \
    --reason "their log ends before" --yes
  assert_contains "$output" "CALLED AGAIN"
  run -3 vouchctl job wait shop-1 --timeout 60s
  assert_equal 1 "$(ledger 'SELECT count(*) FROM issuance WHERE state = 7')"
  assert_equal 99 "$(ledger 'SELECT count(*) FROM issuance WHERE state = 5 AND round = 0')"
  run -0 resolve --job shop-1 --state held --as failed --reason "none are left" --yes
  assert_contains "$output" "nothing is to be decided"
  # Who said yes is in the ledger, as the kernel named him.
  assert_equal 4 "$(ledger "SELECT count(*) FROM grant WHERE granted = 1 AND uid = $(id -u)")"
  assert_contains "$(vouchctl doctor 2>&1)" "one alone decides"
  judge
}

@test "resolve: without a vouchd, with an unknown row or filter, it says so" {
  held_shop 60
  local one
  one=$(head -1 "$PLACE/held")
  run -2 resolve nonsense --as failed --reason r --yes
  run -5 resolve --job nowhere --state held --as failed --reason r --yes
  run -2 resolve --job shop-1 --state held --where colour=red --as failed --reason r --yes
  assert_contains "$output" "outcome, item, downstream, before"
  run -2 resolve --job shop-1 --state held --where outcome=red --as failed --reason r --yes
  printf 'request_id,reference\n%s,\n' "$one" >"$PLACE/bad.csv"
  run -7 resolve --job shop-1 --state held --as issued --references "$PLACE/bad.csv" --reason r \
    --yes
  assert_contains "$output" "line 2"
  run -0 resolve --job shop-1 --state held --where before=2020-01-01 --as failed --reason r --yes
  assert_contains "$output" "nothing is to be decided"
  run -0 resolve --job shop-1 --state held --where downstream=coupons,item=coupon --as failed \
    --reason r --dry-run -o json
  assert_equal "$(held)" "$(json .rows)"
  stop vouchd
  run -12 resolve "$one" --as failed --reason r --yes
  assert_contains "$output" "no vouchd runs"
  run -12 resolve --list
  assert_equal "$(wc -l <"$PLACE/held")" "$(held)"
}

@test "resolve: a cancelled job calls nobody again, and the job is told unsettled until then" {
  held_shop 60
  run -0 --separate-stderr vouchctl job show shop-1 -o json
  assert_equal unsettled "$(json .state)"
  run -9 vouchctl job wait shop-1 --timeout 30s
  assert_contains "$output" "issuance resolve"
  vouchctl -q job cancel shop-1 --yes
  run -0 resolve "$(head -1 "$PLACE/lost.ids")" --as waiting --reason "not there" --yes
  run -9 vouchctl job wait shop-1 --timeout 30s
  assert_equal 1 "$(ledger 'SELECT count(*) FROM issuance WHERE state = 8')"
  run -0 resolve --job shop-1 --state held --as issued --by-hand --note "mail of Monday" \
    --reason "all were seen" --yes
  run -3 vouchctl job wait shop-1 --timeout 30s
  assert_equal cancelled "$(vouchctl job show shop-1 -o json | jq -r .state)"
  assert_contains "$(vouchctl issuance show "$(head -1 "$PLACE/executed.ids")" --timeline)" \
    "by hand, mail of Monday"
}

@test "resolve: vouchd is killed in the middle of a large set, and goes on" {
  start_sandbox
  make_shop 20000 20000
  vouchctl -q downstream update coupons --limit 20000/s --in-flight 64
  start_vouchd
  submit_shop
  run -0 vouchctl job wait shop-1 --timeout 120s
  stop vouchd
  curl -sS --fail "$SANDBOX_URL/coupons/statement.csv" >"$PLACE/statement.csv"
  # As if every answer had been lost.
  sqlite3 "$VOUCH_STORE/ledger/main/ledger.db" "UPDATE issuance SET state = 4;
    UPDATE job_range SET held = issued, issued = 0, issued_minor = 0;
    UPDATE job SET state = 5;"
  start_vouchd
  resolve --job shop-1 --state held --as issued --references "$PLACE/statement.csv" \
    --reason "their statement" --yes >"$PLACE/resolve.log" 2>&1 &
  local resolver=$!
  wait_until 60 some_are_left
  stop vouchd KILL || true
  wait "$resolver" || true
  some_are_left
  start_vouchd
  wait_until 60 none_are_left
  run -0 vouchctl job wait shop-1 --timeout 30s
  assert_equal 20000 "$(ledger 'SELECT rows_applied FROM proposal')"
  assert_equal 20000 "$(ledger 'SELECT count(*) FROM event WHERE kind = 11')"
  assert_equal 1 "$(ledger 'SELECT count(*) FROM grant')"
  judge
}
some_are_left() { (($(ledger 'SELECT rows_left FROM proposal WHERE state = 2') > 0)); }
none_are_left() { [[ "$(ledger 'SELECT state FROM proposal')" == 3 ]]; }

# explained ID WORDS...: the explanation holds them.
explained() {
  local words
  run -0 vouchctl issuance explain "$1"
  for words in "${@:2}"; do assert_contains "$output" "$words"; done
}

@test "explain: what is held, what people settled, what comes next, in plain words" {
  held_shop 60
  local lost executed recipient
  lost=$(head -1 "$PLACE/lost.ids")
  executed=$(head -1 "$PLACE/executed.ids")
  explained "$lost" "coupon of bench is held" "nobody can ask or repeat under contract none" \
    "nothing, until people decide" "vouchctl issuance resolve $lost" "HTTP 502"
  explained "$executed" "bytes had left" "may have been executed"
  run -0 vouchctl issuance explain "$executed" -o json
  assert_equal "call unknown true" \
    "$(json '.attempts | map("\(.what) \(.outcome) \(.bytes_left)") | join(",")')"
  recipient=$(vouchctl issuance show "$executed" --reveal -o json | jq -r .recipient)
  run -0 vouchctl explain "$recipient"
  assert_contains "$output" "people decide about it"
  assert_contains "$output" "vouchctl issuance resolve $executed"
  resolve -q "$executed" --as issued --reference "$(reference_of "$executed")" --reason "seen" \
    --yes
  explained "$executed" "settled by people: by reference: seen (prp_" "nothing: it is given"
  resolve -q "$lost" --as failed --reason "not there" --yes
  explained "$lost" "--state failed" "nothing by itself"
}

@test "explain: what is in doubt, under key and under query" {
  start_sandbox
  make_shop 20
  start_vouchd --retry-first 60s
  faults '{"faults":[{"kind":"lost","probability":1,"count":1}]}'
  submit_shop
  wait_until 20 one_in_doubt
  local id
  id=$(vouchctl issuance list --job shop-1 --state in_doubt -o name)
  explained "$id" "the same call is repeated under the same key" "but not after" \
    "may have forgotten the key" "nothing need be done"
  vouchctl -q job pause shop-1 --reason "a look at it"
  explained "$id" "it waits: the job" "is paused" "vouchctl job resume"
  vouchctl -q job resume shop-1
  run -0 resolve "$id" --as issued --by-hand --reason "seen there" --dry-run
  for part in Rows "5.00 CNY" Digest "dry run: the proposal would be made"; do
    assert_contains "$output" "$part"
  done
  run -2 resolve "$id" --as issued --by-hand --reference R1 --reason "seen there" --yes
  run -2 resolve --job shop-1 --state held --as issued --by-hand --references x.csv --reason r --yes
  assert_contains "$output" "--by-hand says that there is no reference"
  stop vouchd
  explained "$id" "it waits: vouchd is not running"
}
one_in_doubt() { (($(ledger 'SELECT count(*) FROM issuance WHERE state = 3') == 1)); }
