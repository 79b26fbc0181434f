# Goal: people settle what no automatic can, exactly the rows they were shown, with the authority
# that the policy asks for; nobody is forged.  Method: a downstream of contract none that loses
# answers, and its journal, which knows what was executed; a second account of this machine.
bats_require_minimum_version 1.5.0
load helpers
load shop

# The place is short, since a socket's path must be, and open to a second account.
setup() {
  new_place
  ROOM=$(mktemp -d /tmp/vouch-resolve.XXXXXX)
  chmod 0755 "$ROOM"
  export VOUCH_STORE=$ROOM/store
}
teardown() {
  stop_all
  rm -rf "$ROOM"
}

# make_none ROWS [POLICY]: a shop whose downstream honours no key and answers no question.
make_none() {
  vouchctl -q init --policy "${2:-solo}"
  vouchctl -q downstream create coupons --kind coupon --contract none --allow-http \
    --url "$SANDBOX_URL/coupons" --timeout 500ms --limit 5000/s \
    --outcomes "$REPOSITORY/examples/outcomes-sandbox.json"
  vouchctl -q client create shop --lane internal
  vouchctl -q campaign create "$REPOSITORY/tests/bench/campaign.json"
  make-recipients --rows "$1" >"$PLACE/partner.csv"
}

# A job with rows that are held: of some the answer was lost, others were never executed.
held_shop() { # ROWS [POLICY]
  start_sandbox --keys-max 0
  make_none "$@"
  start_vouchd --retry-first 50ms --breaker-open 200ms
  faults '{"faults":[{"kind":"lost","probability":0.2,"count":6},
    {"kind":"error","status":502,"probability":0.2,"count":6}]}'
  submit_shop --accept-uncertain
  run -9 vouchctl job wait shop-1 --timeout 60s
  faults '{"faults":[]}'
  curl -sS --fail "$SANDBOX_URL/coupons/statement.csv" >"$PLACE/statement.csv"
  vouchctl issuance list --job shop-1 --state held --limit 0 -o json | jq -r '.[].id' \
    >"$PLACE/held"
  grep -F -f "$PLACE/held" "$PLACE/statement.csv" | tr -d '\r' >"$PLACE/executed"
  local column
  column=$(head -1 "$PLACE/statement.csv" | tr -d '\r' | tr , '\n' | grep -n '^request_id$')
  cut -d, -f "${column%%:*}" "$PLACE/executed" >"$PLACE/executed.ids"
  grep -v -F -f "$PLACE/executed.ids" "$PLACE/held" >"$PLACE/lost.ids"
  (($(wc -l <"$PLACE/executed.ids") >= 2 && $(wc -l <"$PLACE/lost.ids") >= 2))
}
reference_of() { # REQUEST-ID: as the downstream's statement has it
  python3 -c 'import csv, sys
print(next(r["reference"] for r in csv.DictReader(open(sys.argv[1])) if
  r["request_id"] == sys.argv[2]))' "$PLACE/statement.csv" "$1"
}
held() { ledger 'SELECT count(*) FROM issuance WHERE state = 4'; }
resolve() { vouchctl issuance resolve "$@"; }

# as ACCOUNT COMMAND...: as another account, in the store's group.
as() {
  local uid
  uid=$(id -u "$1")
  shift
  setpriv --reuid "$uid" --regid "$(id -g)" --clear-groups "$@"
}
need_accounts() {
  [[ $(id -u) == 0 ]] || skip "only root can act as another account"
  as nobody test -x "$VOUCH_BIN/vouchctl" || skip "another account cannot run the programs"
}

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

@test "four-eyes: only a second account, which the kernel names, can say yes" {
  need_accounts
  held_shop 60 four-eyes
  local count id digest
  count=$(held)
  vouchctl -q operator create second --account nobody
  run -0 --separate-stderr resolve --job shop-1 --state held --as issued \
    --references "$PLACE/statement.csv" --reason "their statement" --yes -o json
  id=$(json .id)
  digest=$(json .digest)
  assert_equal open "$(json .state)"
  assert_equal "$(wc -l <"$PLACE/executed.ids")" "$(json .rows)"
  assert_equal "$count" "$(held)"
  # Not he who proposed it, whatever he calls himself.
  run -4 resolve --confirm "$id" --yes
  run -4 env USER=nobody LOGNAME=nobody SUDO_USER=nobody VOUCH_OPERATOR=second \
    vouchctl issuance resolve --confirm "$id" --yes
  run -4 as daemon vouchctl issuance resolve --confirm "$id" --yes
  assert_contains "$output" "no operator"
  # Nothing that is written into the control store stands for a yes.
  local control=$VOUCH_STORE/control/control.db
  sqlite3 "$control" "UPDATE operator SET account = 'x' WHERE name = 'root';
    UPDATE operator SET account = 'root' WHERE name = 'second';
    UPDATE control_meta SET value = 'solo' WHERE key = 'policy';
    INSERT INTO command (nonce, kind, arguments, instance, operator, created_ms, expires_ms)
      VALUES (1, 'confirm', '{\"id\":\"$id\"}', 'main', 'second', 1, 9e15);"
  run -4 resolve --confirm "$id" --yes
  stop vouchd
  start_vouchd --retry-first 50ms
  run -4 resolve --confirm "$id" --yes
  sqlite3 "$control" "UPDATE operator SET account = 'nobody' WHERE name = 'second';
    UPDATE operator SET account = 'root' WHERE name = 'root';
    UPDATE control_meta SET value = 'four-eyes' WHERE key = 'policy';"
  assert_equal "$count" "$(held)"
  assert_equal 0 "$(ledger 'SELECT count(*) FROM grant')"

  run -6 as nobody vouchctl issuance resolve --confirm "$id" --digest "${digest//[0-9]/0}" --yes
  run -0 --separate-stderr as nobody vouchctl issuance resolve --list -o json
  assert_equal "$id" "$(json '.[0].id')"
  run -0 --separate-stderr as nobody vouchctl issuance resolve --confirm "$id" \
    --digest "$digest" --yes -o json
  assert_equal second "$(json .decided_by)"
  assert_equal "$(wc -l <"$PLACE/executed.ids")" "$(json .applied)"
  assert_equal "1|second|$(id -u nobody)" \
    "$(ledger "SELECT granted || '|' || operator || '|' || uid FROM grant")"
  run -6 as nobody vouchctl issuance resolve --confirm "$id" --yes
  assert_contains "$(vouchctl issuance show "$(head -1 "$PLACE/executed.ids")" --timeline)" \
    "confirmed by second"
  judge
}

@test "four-eyes: a row that is settled meanwhile is left alone; what is refused stays refused" {
  need_accounts
  held_shop 60 four-eyes
  vouchctl -q operator create second --account nobody
  local id refused
  refused=$(resolve --job shop-1 --state held --as failed --reason "a guess" --yes -o json |
    jq -r .id)
  run -0 --separate-stderr as nobody vouchctl issuance resolve --refuse "$refused" \
    --reason "look again" -o json
  assert_equal refused "$(json .state)"
  run -6 as nobody vouchctl issuance resolve --confirm "$refused" --yes
  id=$(resolve --job shop-1 --state held --as failed --reason "not there" --yes -o json |
    jq -r .id)
  # Their statement knows some of the rows.
  run vouchctl reconcile coupons --statement "$PLACE/statement.csv" --margin 0s --resolve
  assert_equal "$(wc -l <"$PLACE/lost.ids")" "$(held)"
  run -0 --separate-stderr as nobody vouchctl issuance resolve --confirm "$id" --yes -o json
  assert_equal "$(wc -l <"$PLACE/lost.ids")" "$(json .applied)"
  assert_equal "$(wc -l <"$PLACE/executed.ids")" "$(json .left_alone)"
  assert_equal 0 "$(held)"
  judge
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
  stop vouchd
  explained "$id" "it waits: vouchd is not running"
}
one_in_doubt() { (($(ledger 'SELECT count(*) FROM issuance WHERE state = 3') == 1)); }
