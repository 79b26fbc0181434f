# Goal: a redemption code reaches one recipient and no other, whatever is lost or killed, and nobody
# else ever sees it.  Method: vouchd drains jobs over pools into the sandbox; what its journal says
# was handed out is counted.
bats_require_minimum_version 1.5.0
load helpers
load shop

setup() {
  new_place
  cd "$PLACE" || return 1
  start_sandbox
  make_shop 300
  vouchctl -q downstream create codes --kind code --contract key --allow-http \
    --url "$SANDBOX_URL/codes" --timeout 1s --limit 2000/s \
    --outcomes "$REPOSITORY/examples/outcomes-sandbox.json"
  vouchctl -q pool create vip --low-water 50
  vouchctl -q pool generate vip --count 200 --prefix VIP-
  write_campaign gifts
  vouchctl -q campaign create gifts.json
}
teardown() { stop_all; }

write_campaign() { # NAME
  cat >"$1.json" <<JSON
{"name": "$1",
 "items": [{"name": "gift", "kind": "code", "pool": "vip", "downstream": "codes"}]}
JSON
}

submit_codes() { # CAMPAIGN [OPTIONS...]
  local campaign=$1
  shift
  vouchctl -q job submit --campaign "$campaign" --client shop --file partner.csv \
    --submit-key "$campaign" --name "$campaign" --again "$@"
}

# As an operator who is no administrator.
vouchctl_as_creator() {
  local status=0
  sqlite3 "$VOUCH_STORE/control/control.db" "UPDATE operator SET role = 'creator'"
  vouchctl "$@" || status=$?
  sqlite3 "$VOUCH_STORE/control/control.db" "UPDATE operator SET role = 'administrator'"
  return "$status"
}

# "LINES CODES REQUESTS": of the journal, and how many of them are different.
handed_out() {
  python3 - "$PLACE/journals/codes.csv" <<'PYTHON'
import csv, sys
with open(sys.argv[1], newline="") as file:
    rows = list(csv.DictReader(file))
print(len(rows), len({r["code"] for r in rows}), len({r["request_id"] for r in rows}))
PYTHON
}
left() { vouchctl pool show vip -o json 2>/dev/null | jq .left; }

@test "codes: each to one recipient; where none is left the job waits, and then goes on" {
  run -0 submit_codes gifts
  assert_contains "$output" "200 codes left, and the job may need 300"
  start_vouchd
  run -9 vouchctl job wait gifts --timeout 60s
  assert_contains "$(vouchctl job show gifts 2>&1)" "the pool vip has no code left"
  wait_until 20 test "$(ledger 'SELECT count(*) FROM issuance WHERE state = 1')" = 0
  wait_until 20 test_issued 200
  assert_equal "200 200 200" "$(handed_out)"
  assert_equal 0 "$(left)"
  wait_until 10 grep -q pool_low vouchd.log

  vouchctl pool generate vip --count 150 -q
  vouchctl job resume gifts -q
  run -0 vouchctl job wait gifts --timeout 60s
  assert_equal "300 300 300" "$(handed_out)"
  assert_equal 50 "$(left)"
  judge

  run -0 vouchctl job submit --campaign gifts --client shop --list gifts \
    --submit-key again --dry-run
  assert_contains "$output" "the pool vip has 50 codes left"
  # The same list again costs no code, and a single one costs one.
  vouchctl -q job submit --campaign gifts --client shop --list gifts --submit-key again
  run -0 vouchctl job wait again --timeout 60s
  assert_equal 50 "$(left)"
  vouchctl -q issuance create --campaign gifts --client shop --recipient one-more \
    --idempotency-key k1 --wait
  assert_equal "301 301 301" "$(handed_out)"
  assert_equal 49 "$(left)"

  # Only an administrator is told codes, whole, and that is recorded.
  run -2 vouchctl pool export vip --to out.csv
  assert_contains "$output" "--yes"
  run -0 vouchctl pool export vip --job gifts --to out.csv --dry-run
  assert_contains "$output" "300"
  assert_contains "$output" "dry run: no code was taken"
  run -7 vouchctl pool export vip --job again --to none.csv --yes
  assert_contains "$output" "has no code of the pool vip"
  [[ ! -e out.csv && ! -e none.csv ]]
  run -0 vouchctl pool export vip --job gifts --to out.csv --yes
  assert_contains "$output" "pool vip exported: 300 codes in out.csv, 0 issued by it"
  assert_equal 600 "$(stat -c %a out.csv)"
  run -4 vouchctl_as_creator pool export vip --to other.csv --yes
  python3 - <<'PYTHON'
import csv
out = {(r["recipient_id"], r["code"]) for r in csv.DictReader(open("out.csv", newline=""))}
journal = {(r["recipient_id"], r["code"])
           for r in csv.DictReader(open("journals/codes.csv", newline=""))}
assert len(out) == 300 and out < journal and len(journal - out) == 1, (len(out), len(journal))
PYTHON
  run -6 vouchctl pool export vip --to out.csv --yes
  assert_equal 1 "$(sqlite3 "$VOUCH_STORE/control/control.db" \
    "SELECT count(*) FROM audit WHERE action = 'pool export'")"

  # Nobody else is.
  stop vouchd
  {
    vouchctl log --after 0 -o json
    vouchctl issuance list --campaign gifts -o json
    vouchctl job results gifts -o csv
    cat vouchd.log
  } >said
  run -1 grep -rqaE 'VIP-[2-9A-Z]{12}' said "$VOUCH_STORE"
}

test_issued() { [[ "$(ledger 'SELECT sum(issued) FROM job_range')" == "$1" ]]; }

@test "codes: cancelled before it began, a job costs none" {
  submit_codes gifts --start-at 2099-01-01T00:00Z
  start_vouchd
  vouchctl job cancel gifts --yes -q --reason "not this year"
  wait_until 20 has_state gifts cancelled
  assert_equal 200 "$(left)"
}

has_state() { [[ "$(vouchctl job show "$1" -o json | jq -r .state)" == "$2" ]]; }

@test "codes: three jobs at one pool, lost answers and kills: all codes are different" {
  local name kill
  vouchctl -q pool generate vip --count 1000
  write_campaign more
  write_campaign most
  vouchctl -q campaign create more.json
  vouchctl -q campaign create most.json
  vouchctl -q downstream limit codes 300/s
  curl -sS --fail -X PUT -d '{"faults":[{"kind":"lost","probability":0.05}]}' \
    "$SANDBOX_URL/faults/codes" >/dev/null
  for name in gifts more most; do submit_codes "$name"; done
  for kill in 1 2 3; do
    start_vouchd --retry-first 50ms --retry-max 200ms
    wait_until 30 delivered "$((kill * 150))"
    stop vouchd KILL || true
  done
  curl -sS --fail -X DELETE "$SANDBOX_URL/faults" >/dev/null
  start_vouchd --retry-first 50ms --retry-max 200ms
  for name in gifts more most; do run -0 vouchctl job wait "$name" --timeout 120s; done
  assert_equal "900 900 900" "$(handed_out)"
  assert_equal 300 "$(left)"
  assert_equal 900 "$(ledger 'SELECT count(DISTINCT ordinal) FROM issuance')"
  judge
}

delivered() { [[ "$(wc -l <"$PLACE/journals/codes.csv")" -gt "$1" ]]; }

@test "codes: without its key vouchd hands out nothing, and goes on when it is back" {
  mv pool.key kept.key
  submit_codes gifts
  start_vouchd
  run -9 vouchctl job wait gifts --timeout 60s
  assert_contains "$(vouchctl job show gifts 2>&1)" "the key of the pools is not there"
  assert_equal "0 0 0" "$(handed_out)"
  mv kept.key pool.key
  vouchctl job resume gifts -q
  wait_until 60 delivered 200
  assert_equal "200 200 200" "$(handed_out)"
}

@test "codes: what may have gone out since a backup is given to nobody else after it is restored" {
  submit_codes gifts --rate 100/s
  start_vouchd
  wait_until 20 delivered 40
  vouchctl -q store backup copy
  wait_until 20 delivered 120
  stop vouchd
  local before
  before=$(handed_out)
  cp "$VOUCH_STORE/control/recipient.key" copy/control
  export VOUCH_STORE=$PLACE/copy
  start_vouchd --accept-older-ledger
  waits_for_people gifts
  vouchctl -q job resume gifts
  # Nobody knows which code a row had, or whether it has one.
  run -9 vouchctl job wait gifts --timeout 60s
  assert_contains "$(vouchctl issuance explain "$(vouchctl issuance list --job gifts --state held \
    --limit 1 -o name)")" "which code it had is not known"
  assert_equal "$before" "$(handed_out)"
  assert_equal 0 "$(left)"
  # Codes that were made since are nobody's yet.
  vouchctl -q pool generate vip --count 300
  write_campaign more
  vouchctl -q campaign create more.json
  submit_codes more
  run -0 vouchctl job wait more --timeout 60s
  local all=$((${before%% *} + 300))
  assert_equal "$all $all $all" "$(handed_out)"
}
