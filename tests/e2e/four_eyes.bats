# Goal: under the policy four-eyes nobody alone settles a row, neither by his word nor by a
# statement that he gives; nobody is forged.  Method: a downstream of contract none that loses
# answers, its journal, which knows what was executed, and a second account of this machine.
bats_require_minimum_version 1.5.0
load helpers
load shop
load held

setup() { new_room; }
teardown() { leave_room; }

statement() { vouchctl reconcile coupons --statement "$PLACE/statement.csv" --margin 0s "$@"; }
fetched() { vouchctl reconcile coupons --fetch --margin 0s "$@"; }
settled() { ledger 'SELECT count(*) FROM event WHERE kind IN (10, 11)'; }
# confirmed_by_second COMMAND: as it was printed, typed by the second operator.
confirmed_by_second() {
  [[ "$1" == "vouchctl issuance resolve --confirm prp_"*" --digest "* ]]
  # shellcheck disable=SC2086  # the command's words
  as nobody $1 --yes -o json
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
  # Their statement knows some of the rows, and is confirmed first.
  run -9 --separate-stderr statement --resolve -o json
  as nobody vouchctl -q issuance resolve --confirm "$(json '.proposals[0].id')" --yes
  assert_equal "$(wc -l <"$PLACE/lost.ids")" "$(held)"
  run -0 --separate-stderr as nobody vouchctl issuance resolve --confirm "$id" --yes -o json
  assert_equal "$(wc -l <"$PLACE/lost.ids")" "$(json .applied)"
  assert_equal "$(wc -l <"$PLACE/executed.ids")" "$(json .left_alone)"
  assert_equal 0 "$(held)"
  judge
}

@test "four-eyes: a statement that one operator gives is proposed; confirmed it settles the rows" {
  need_accounts
  held_shop 60 four-eyes
  local count executed
  count=$(held)
  executed=$(wc -l <"$PLACE/executed.ids")
  run -9 statement --resolve --dry-run
  assert_contains "$output" "$executed rows would be proposed"
  assert_equal 0 "$(ledger 'SELECT count(*) FROM proposal')"
  # Without a second operator it says so.
  run -9 statement --resolve
  assert_contains "$output" "vouchctl operator create"
  vouchctl -q operator create second --account nobody

  run -9 --separate-stderr statement --resolve -o json --report "$PLACE/report.json"
  assert_equal undecided "$(json .verdict)"
  assert_equal "0 $executed $count" "$(json '"\(.resolved) \(.proposed) \(.undecided)"')"
  assert_equal "issued $executed second" \
    "$(json '.proposals[] | "\(.as) \(.rows) \(.waits_for[0])"')"
  local command
  command=$(json '.proposals[0].confirm')
  assert_equal "$command" "$(jq -r '.summary.proposals[0].confirm' "$PLACE/report.json")"
  # shellcheck disable=SC2154  # run sets it
  assert_contains "$stderr" "$executed rows of $(json '.proposals[0].job') as issued wait for \
another operator (second) to confirm $(json '.proposals[0].id'): $command"
  assert_equal "$count 0" "$(held) $(settled)"
  run -6 vouchctl job close shop-1
  # He who gave the statement cannot confirm it.
  # shellcheck disable=SC2086
  run -4 $command --yes
  assert_equal "$count 0" "$(held) $(settled)"

  run -0 --separate-stderr confirmed_by_second "$command"
  assert_equal "done $executed second" "$(json '"\(.state) \(.applied) \(.decided_by)"')"
  assert_equal "$((count - executed))" "$(held)"
  # The evidence is the statement's, with who gave it and who confirmed it.
  assert_equal "$executed" "$(ledger "SELECT count(*) FROM event WHERE kind = 10 AND
    reference LIKE 'c-%' AND
    detail LIKE 'statement statement.csv, given by root (prp_%, confirmed by second)'")"
  assert_equal 1 "$(ledger 'SELECT count(*) FROM grant')"
  assert_equal "$(reference_of "$(head -1 "$PLACE/executed.ids")")" \
    "$(vouchctl issuance show "$(head -1 "$PLACE/executed.ids")" -o json | jq -r .reference)"
  # Given once more it has nothing to propose.
  run -9 --separate-stderr statement --resolve -o json
  assert_equal "0 []" "$(json '"\(.proposed) \(.proposals)"')"
  judge
}

@test "four-eyes: what a fetched statement lacks is proposed too, and the job balances afterwards" {
  need_accounts
  held_shop 60 four-eyes
  vouchctl -q operator create second --account nobody
  vouchctl -q downstream update coupons --settle-time 1s \
    --statement-url "$SANDBOX_URL/coupons/statement"
  local count lost
  count=$(held)
  lost=$(wc -l <"$PLACE/lost.ids")
  covers_all() {
    assert_equal "$lost" "$(fetched -o json |
      jq '.classes[] | select(.class == "resolves_negative") | .found')"
  }
  wait_until 20 covers_all
  run -9 --separate-stderr fetched --resolve-negative -o json
  assert_equal "issued $((count - lost)),failed $lost" \
    "$(json '[.proposals[] | "\(.as) \(.rows)"] | join(",")')"
  assert_equal "$count 0" "$(held) $(settled)"
  local commands command
  mapfile -t commands < <(json '.proposals[].confirm')
  for command in "${commands[@]}"; do run -0 confirmed_by_second "$command"; done
  assert_equal "0 $count" "$(held) $(settled)"
  assert_equal "$lost" "$(ledger 'SELECT count(*) FROM issuance WHERE state = 7')"
  run -3 vouchctl job wait shop-1 --timeout 10s
  # What was found before the confirmation does not close the job; the next reconciliation does.
  run -6 vouchctl job close shop-1
  assert_contains "$output" "left $count rows in doubt or held"
  run -0 --separate-stderr fetched --resolve-negative -o json
  assert_equal "balanced []" "$(json '"\(.verdict) \(.proposals)"')"
  run -0 vouchctl job close shop-1
  judge
}

# answer_to ID: vouchd's answer to a command, once there is one.
answer_to() {
  local sql="SELECT answer FROM command WHERE id = $1 AND answer IS NOT NULL"
  [[ -n "$(sqlite3 -readonly "$VOUCH_STORE/control/control.db" "$sql")" ]] || return 1
  sqlite3 -readonly "$VOUCH_STORE/control/control.db" "$sql"
}
# forge_settle: the command by which a statement settles rows alone, written by hand; its id.
forge_settle() {
  local rows
  rows=$(jq -Rnc '[inputs | {id: ., executed: true, reference: "forged"}]' "$PLACE/lost.ids")
  sqlite3 -cmd '.timeout 5000' "$VOUCH_STORE/control/control.db" "
    INSERT INTO command (nonce, kind, arguments, instance, operator, created_ms, expires_ms)
      VALUES (abs(random()) % 1000000, 'settle', '{\"statement\":\"x.csv\",\"rows\":$rows}',
              'main', 'root', 1, 9e15);
    SELECT max(id) FROM command;"
}

@test "four-eyes: the command of a statement is refused, whatever the control store says" {
  need_accounts
  held_shop 60 four-eyes
  local count id
  count=$(held)
  id=$(forge_settle)
  wait_until 10 answer_to "$id"
  assert_equal not_permitted "$(answer_to "$id" | jq -r .code)"
  assert_contains "$(answer_to "$id")" "second operator"
  # A policy that is written over is not followed, by vouchd or by vouchctl.
  sqlite3 "$VOUCH_STORE/control/control.db" \
    "UPDATE control_meta SET value = 'solo' WHERE key = 'policy'"
  stop vouchd
  id=$(forge_settle)
  start_vouchd
  wait_until 10 answer_to "$id"
  assert_equal not_permitted "$(answer_to "$id" | jq -r .code)"
  run -9 --separate-stderr statement --resolve -o json
  assert_equal "0 $(wc -l <"$PLACE/executed.ids")" "$(json '"\(.resolved) \(.proposed)"')"
  assert_equal "$count 0" "$(held) $(settled)"
  # Without a control socket nothing is settled either.
  stop vouchd
  start_vouchd --control-socket none
  run -12 statement --resolve
  assert_contains "$output" "control-socket in vouchd.conf"
  assert_equal "$count 0" "$(held) $(settled)"
}

@test "four-eyes: vouchd is killed while rows are given, and while they are settled; it goes on" {
  need_accounts
  start_sandbox
  vouchctl -q init --policy four-eyes
  make_shop 20000 20000
  vouchctl -q downstream update coupons --limit 20000/s --in-flight 64
  vouchctl -q operator create second --account nobody
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
  statement --resolve >"$PLACE/reconcile.log" 2>&1 &
  local giver=$!
  wait_until 60 some_are_given
  stop vouchd KILL || true
  wait "$giver" && return 1
  assert_equal 20000 "$(held)"

  start_vouchd
  wait_until 60 no_draft_is_left
  run -9 --separate-stderr statement --resolve -o json
  assert_equal 20000 "$(json '.proposals[0].rows')"
  local command
  command=$(json '.proposals[0].confirm')
  confirmed_by_second "$command" >"$PLACE/confirm.log" 2>&1 &
  local confirmer=$!
  wait_until 60 some_are_left
  stop vouchd KILL || true
  wait "$confirmer" || true
  some_are_left
  start_vouchd
  wait_until 60 all_are_settled
  run -0 vouchctl job wait shop-1 --timeout 30s
  assert_equal 20000 "$(ledger 'SELECT rows_applied FROM proposal WHERE state = 3')"
  assert_equal 20000 "$(ledger 'SELECT count(*) FROM event WHERE kind = 10')"
  assert_equal 1 "$(ledger 'SELECT count(*) FROM grant')"
  run -0 statement
  judge
}
some_are_given() { (($(ledger 'SELECT count(*) FROM proposal_row') > 0)); }
no_draft_is_left() { (($(ledger 'SELECT count(*) FROM proposal_row') == 0)); }
some_are_left() { (($(ledger 'SELECT rows_left FROM proposal WHERE state = 2') > 0)); }
all_are_settled() { (($(ledger 'SELECT count(*) FROM proposal WHERE state = 3') == 1)); }

@test "four-eyes: a stop is made by one, and taken back by two" {
  need_accounts
  held_shop 20 four-eyes
  vouchctl -q operator create second --account nobody
  vouchctl -q stop --downstream coupons --reason "wrong prices"
  run -9 vouchctl start --downstream coupons
  assert_contains "$output" "another operator must say so too: vouchctl start --downstream coupons"
  run -9 vouchctl start --downstream coupons  # the same one is no second
  run vouchctl doctor
  assert_contains "$output" "downstream coupons is stopped by"
  run -0 as nobody vouchctl start --downstream coupons
  assert_contains "$output" "downstream coupons goes on"
  run vouchctl doctor
  [[ "$output" != *"is stopped by"* ]]
  # Stopped anew, nothing of the first time counts.
  vouchctl -q stop --downstream coupons --reason "again"
  run -9 as nobody vouchctl start --downstream coupons
}
