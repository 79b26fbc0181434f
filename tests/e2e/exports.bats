# Goal: codes that go out by an export reach one recipient each and no other, whoever dies between
# taking a code, writing it and saying so; and people are told what they must type.  Method: vouchd
# and vouchctl are killed in between, exports run side by side; files and ledger are compared.
bats_require_minimum_version 1.5.0
load helpers
load shop

# The place is short, since a socket's path must be.
setup() {
  new_place
  cd "$PLACE" || return 1
  ROOM=$(mktemp -d /tmp/vouch-exports.XXXXXX)
  export VOUCH_STORE=$ROOM/store
  vouchctl -q init
  vouchctl -q client create shop
  vouchctl -q pool create vip
  vouchctl -q pool generate vip --count "${CODES:-5000}" --prefix VIP-
  campaign gifts '{"name": "gift", "kind": "code", "pool": "vip", "delivery": "export"}'
}
teardown() {
  stop_all
  rm -rf "$ROOM"
}

campaign() { # NAME ITEMS
  printf '{"name": "%s", "items": [%s]}\n' "$1" "$2" >"$1.json"
  vouchctl -q campaign create "$1.json"
}
submit() { # CAMPAIGN ROWS [OPTIONS...]
  make-recipients --rows "$2" >"$1.csv"
  vouchctl -q job submit --campaign "$1" --client shop --file "$1.csv" --submit-key "$1" "${@:3}"
}
# Submits, and waits until all rows wait for their export.
submit_waiting() { # ROWS [OPTIONS...]
  submit gifts "$@"
  start_vouchd
  run -9 vouchctl job wait gifts --timeout 60s
  assert_contains "$output" "rows wait for an export of their codes"
}
export_job() { vouchctl -q pool export vip --job gifts --yes --to "$1"; }
count() { ledger "SELECT count(*) FROM issuance WHERE $1"; }
codes_out() { ledger 'SELECT ifnull(max(next_ordinal), 0) FROM pool'; }
in_state() { (($(count "state = $1") >= $2)); }
is_stopped() { [[ "$(ps -o stat= -p "$1")" == [Tt]* ]]; }

# check_file FILE ROWS: as many, each code and each recipient once, all of them issued, and by the
# ledger each is the recipient's own.
check_file() {
  assert_equal "$2" "$(tail -n +2 "$1" | wc -l)"
  assert_equal "$2" "$(tail -n +2 "$1" | cut -d, -f1 | sort -u | wc -l)"
  assert_equal "$2" "$(tail -n +2 "$1" | cut -d, -f3 | sort -u | wc -l)"
  assert_equal "$2" "$(grep -c ',issued,' "$1")"
}
# Every code that is out has an owner, and every issued row evidence of its own.
check_ledger() {
  assert_equal 0 "$(ledger 'SELECT count(*) FROM code LEFT JOIN issuance USING (campaign,
    recipient_key, occurrence, item) WHERE issuance.ordinal IS NOT code.ordinal')"
  assert_equal 0 "$(count "state = 5 AND NOT EXISTS (SELECT 1 FROM event WHERE seq = last_event
    AND kind = 12 AND reference GLOB 'exp_*/*/' || ordinal)")"
  assert_equal "$(count 'state = 5')" "$(ledger 'SELECT count(*) FROM event WHERE kind = 12
    AND to_state = 5')"
}

# No row is confirmed by an export whose file does not have it.
check_confirmed() {
  python3 - "$VOUCH_STORE" <<'PYTHON'
import base64, csv, json, sqlite3, sys
store = sys.argv[1]
control = sqlite3.connect(f"file:{store}/control/control.db?mode=ro", uri=True)
files = {}
for (text,) in control.execute("SELECT detail FROM audit WHERE action = 'pool export'"):
    detail = json.loads(text)
    with open(detail["file"], newline="") as file:
        ids = [row["issuance"] for row in csv.DictReader(file)]
    files[detail["export"]] = {base64.urlsafe_b64decode(i)[5:21] for i in ids}
ledger = sqlite3.connect(f"file:{store}/ledger/main/ledger.db?mode=ro", uri=True)
rows = ledger.execute("SELECT reference, recipient_key FROM event WHERE kind = 12 AND to_state = 5")
found = [files[reference.split("/")[0]].__contains__(key) for reference, key in rows]
assert found and all(found), found.count(False)
PYTHON
}

@test "exports: a job waits for people, says what to type, and is done when its codes are out" {
  submit_waiting 3000
  local id
  id=$(vouchctl job show gifts -o json | jq -r .id)
  assert_contains "$output" "vouchctl pool export vip --job $id --to FILE"
  assert_equal 0 "$(codes_out)"
  run -0 vouchctl job show gifts -o json
  assert_equal "running 3000 3000" "$(json '"\(.state) \(.planned) \(.to_export)"')"
  assert_contains "$(json .reason)" "3,000 rows wait for an export"
  assert_contains "$(json .what_to_do)" "vouchctl pool export vip --job $id --to FILE"
  assert_contains "$(vouchctl job list)" "wait for an export"
  wait_until 10 grep -q '"kind":"export".*3000 rows wait for an export' vouchd.log
  run -9 vouchctl job watch gifts
  assert_contains "$output" "vouchctl pool export vip --job $id --to FILE"
  run -6 vouchctl job close gifts

  run -0 vouchctl pool export vip --job gifts --to out.csv --dry-run -o json
  assert_equal "3000 3000 2000" "$(json '"\(.codes) \(.issued) \(.left)"')"
  [[ ! -e out.csv ]]
  run -2 vouchctl pool export vip --job gifts --to out.csv </dev/null
  assert_contains "$output" "take 3,000 codes for rows that wait"
  assert_equal 0 "$(codes_out)"

  export_job out.csv
  assert_equal 600 "$(stat -c %a out.csv)"
  check_file out.csv 3000
  check_ledger
  run -0 vouchctl job wait gifts --timeout 10s
  assert_equal "$(sort -t, -k1,1 gifts.csv | cut -d, -f1 | grep -v recipient_id)" \
    "$(tail -n +2 out.csv | sort -t, -k1,1 | cut -d, -f1)"
  export_job again.csv
  cmp out.csv again.csv
  assert_equal 3000 "$(codes_out)"
  run -0 vouchctl job results gifts -o csv
  assert_contains "$output" "given: its code was exported"
  assert_contains "$output" "exp_"
  run -0 vouchctl job close gifts
  run -0 vouchctl store check
}

@test "exports: killed between taking and confirming, vouchd or vouchctl, the codes stay the same" {
  submit_waiting 2500
  # vouchctl stops itself where it has the file written, and vouchd dies meanwhile.
  start exporter strace -f -qq -e trace=fsync -e inject=fsync:signal=STOP:when=1 \
    vouchctl -q pool export vip --job gifts --yes --to first.csv
  wait_until 30 in_state 1 2500
  stop vouchd KILL || true
  kill -s KILL "$(pgrep -P "$(pid_of exporter)")" 2>/dev/null || true
  stop exporter KILL || true
  assert_equal 2500 "$(codes_out)"
  start_vouchd
  assert_equal 2500 "$(count 'state = 3')"
  run -9 vouchctl job wait gifts --timeout 30s
  assert_contains "$output" "2,500 rows were taken by an export that is not confirmed"
  assert_contains "$output" "vouchctl pool export vip --job job_"
  local row
  row=$(vouchctl issuance list --job gifts --state in_doubt --limit 1 -o json 2>/dev/null |
    jq -r '(.items? // .)[0].id')
  run -0 vouchctl issuance explain "$row"
  assert_contains "$output" "vouchctl pool export vip --job job_"

  # Killed itself, while vouchd lives.
  run -137 strace -f -qq -o /dev/null -e trace=fsync -e inject=fsync:signal=KILL:when=1 \
    vouchctl -q pool export vip --job gifts --yes --to second.csv
  assert_equal 0 "$(count 'state = 5')"
  export_job third.csv
  check_file third.csv 2500
  check_ledger
  cmp second.csv third.csv
  assert_equal 2500 "$(codes_out)"
  run -0 vouchctl job wait gifts --timeout 10s
}

@test "exports: killed while it takes, the next one takes the rest" {
  submit_waiting 4000
  start exporter vouchctl -q pool export vip --job gifts --yes --to first.csv
  wait_until 20 in_state 1 1
  stop exporter KILL || true
  export_job second.csv
  check_file second.csv 4000
  check_ledger
  assert_equal 4000 "$(codes_out)"
}

@test "exports: several at once give each recipient one code, and confirm what is in a file" {
  submit_waiting 3000
  local i
  for i in 1 2 3 4; do
    start "export$i" vouchctl pool export vip --job gifts --yes --to "$i.csv"
  done
  for i in 1 2 3 4; do stop "export$i" 0; done
  assert_equal 3000 "$(count 'state = 5')"
  check_ledger
  assert_equal 3000 "$(codes_out)"
  check_confirmed
  # Whatever file a code is in, it is the same recipient's.
  assert_equal 3000 "$(tail -qn +2 {1,2,3,4}.csv | cut -d, -f1,3 | sort -u | wc -l)"
}

@test "exports: two jobs share a pool, each with its own codes" {
  submit_waiting 1000
  campaign more '{"name": "gift", "kind": "code", "pool": "vip", "delivery": "export"}'
  submit more 1500
  run -9 vouchctl job wait more --timeout 30s
  start one vouchctl -q pool export vip --job gifts --yes --to gifts-out.csv
  start two vouchctl -q pool export vip --job more --yes --to more-out.csv
  stop one 0
  stop two 0
  check_file gifts-out.csv 1000
  check_file more-out.csv 1500
  check_ledger
  assert_equal 2500 "$(tail -qn +2 gifts-out.csv more-out.csv | cut -d, -f3 | sort -u | wc -l)"
}

@test "exports: of all jobs at once, those that may start nothing are left out and told" {
  submit_waiting 300
  campaign more '{"name": "gift", "kind": "code", "pool": "vip", "delivery": "export"}'
  submit more 200
  run -9 vouchctl job wait more --timeout 30s
  vouchctl -q job pause gifts
  run -0 vouchctl pool export vip --yes --to out.csv
  assert_contains "$output" "left out: job_"
  check_file out.csv 200
  vouchctl -q job resume gifts
  vouchctl -q pool export vip --yes --to all.csv
  assert_equal "500 500" "$(grep -c ,issued, all.csv) $(cut -d, -f3 all.csv | grep -c VIP-)"
  check_ledger
}

@test "exports: a cancelled job burns no code, and what was taken can still be settled" {
  submit_waiting 1000
  vouchctl -q job cancel gifts --yes
  run -3 vouchctl job wait gifts --timeout 30s
  assert_equal "0 1000" "$(codes_out) $(count 'state = 8')"
  vouchctl -q job rerun gifts --state cancelled --submit-key again
  run -9 vouchctl job wait again --timeout 30s
  run -137 strace -f -qq -o /dev/null -e trace=fsync -e inject=fsync:signal=KILL:when=1 \
    vouchctl -q pool export vip --job again --yes --to first.csv
  vouchctl -q job cancel again --yes
  # What was taken is in doubt first; until then the advice is the same in other words.
  again_is_unsettled() { [[ $(vouchctl job show again -o json | jq -r .state) == unsettled ]]; }
  wait_until 30 again_is_unsettled
  run -9 vouchctl job wait again --timeout 30s
  assert_contains "$output" "what an export has taken"
  assert_contains "$output" "vouchctl pool export vip --job job_"
  vouchctl -q pool export vip --job again --yes --to second.csv
  cmp first.csv second.csv
  check_file second.csv 1000
  run -0 vouchctl job wait again --timeout 30s
  run -0 vouchctl job show again -o json
  assert_equal "cancelled 1000" "$(json '"\(.state) \(.issued)"')"
}

@test "exports: too few codes are refused before one is taken, and nobody but administrators may" {
  submit_waiting 5200
  run -9 vouchctl pool export vip --job gifts --yes --to out.csv
  assert_contains "$output" "200 are missing"
  [[ ! -e out.csv ]]
  assert_equal 0 "$(codes_out)"
  vouchctl -q pool generate vip --count 200
  sqlite3 "$VOUCH_STORE/control/control.db" "UPDATE operator SET role = 'creator'"
  run -4 vouchctl pool export vip --job gifts --yes --to out.csv
  # Nor by asking vouchd itself.
  run -0 curl -sS --unix-socket "$(ledger "SELECT value FROM ledger_meta
    WHERE key = 'control_socket'")" http://vouchd/exports/take \
    -d '{"export":"exp_00000001","pool":"vip","job":"job_00000001"}'
  assert_contains "$output" "only administrators may take codes out"
  assert_equal 0 "$(codes_out)"
  sqlite3 "$VOUCH_STORE/control/control.db" "UPDATE operator SET role = 'administrator'"
  vouchctl -q job pause gifts
  run -6 vouchctl pool export vip --job gifts --yes --to out.csv
  assert_contains "$output" "is paused"
  [[ ! -e out.csv ]]
  vouchctl -q job resume gifts
  export_job out.csv
  check_file out.csv 5200
  # Before a file is made; so the one that vouchd refused stands there too.
  assert_equal 2 "$(sqlite3 "$VOUCH_STORE/control/control.db" "SELECT count(*) FROM audit
    WHERE action = 'pool export' AND detail LIKE '%exp_%\"taken\":5200%'")"
}

@test "exports: beside calls, of a pilot, of a single issuance" {
  start_sandbox
  vouchctl -q downstream create coupons --kind coupon --contract key --allow-http \
    --url "$SANDBOX_URL/coupons" --limit 2000/s
  campaign both '{"name": "coupon", "kind": "coupon", "downstream": "coupons"},
    {"name": "gift", "kind": "code", "pool": "vip", "delivery": "export"}'
  submit both 500 --pilot 20
  start_vouchd
  run -9 vouchctl job wait both --timeout 30s
  assert_contains "$output" "20 rows wait for an export"
  assert_equal "20 20" "$(count 'state = 5') $(count 'state = 0')"
  vouchctl -q pool export vip --job both --yes --to pilot.csv
  check_file pilot.csv 20
  run -9 vouchctl job wait both --timeout 30s
  assert_contains "$output" "pilot"
  vouchctl -q job resume both
  run -9 vouchctl job wait both --timeout 30s
  assert_equal "520 480" "$(count 'state = 5') $(count 'state = 0')"
  vouchctl -q pool export vip --job both --yes --to all.csv
  check_file all.csv 500
  run -0 vouchctl job wait both --timeout 30s
  # The coupons stand in a statement, the codes in none.
  curl -sS --fail "$SANDBOX_URL/coupons/statement.csv" >statement.csv
  run -6 vouchctl job close both
  vouchctl -q reconcile coupons --statement statement.csv --job both
  run -0 vouchctl job close both

  run -9 vouchctl issuance create --campaign gifts --recipient anna --client shop --wait
  assert_contains "$output" "vouchctl pool export vip --to FILE"
  run -0 vouchctl explain anna
  assert_contains "$output" "waits until people export its code"
  vouchctl -q pool export vip --yes --to every.csv
  check_file every.csv 501
  grep -q '^anna,gift,VIP-.*,issued,' every.csv
}

@test "exports: an older copy of the ledger gives no second code to those who may have one" {
  submit_waiting 300
  stop vouchd
  cp -a "$VOUCH_STORE/ledger/main" backup
  start_vouchd
  export_job first.csv
  stop vouchd
  cp backup/ledger.db backup/ledger.db-wal "$VOUCH_STORE/ledger/main/" 2>/dev/null ||
    cp backup/ledger.db "$VOUCH_STORE/ledger/main/"
  rm -f "$VOUCH_STORE/ledger/main/ledger.db-shm"
  [[ -e backup/ledger.db-wal ]] || rm -f "$VOUCH_STORE/ledger/main/ledger.db-wal"
  start_vouchd --accept-older-ledger
  waits_for_people gifts
  vouchctl -q job resume gifts
  run -9 vouchctl job wait gifts --timeout 30s
  assert_contains "$output" "in doubt since before this copy of the ledger"
  assert_contains "$output" "vouchctl issuance resolve --job job_"
  run -0 vouchctl pool export vip --job gifts --yes --to second.csv
  assert_contains "$output" "300 rows are in doubt since before this copy"
  assert_equal 0 "$(tail -n +2 second.csv | wc -l)"
  assert_equal 0 "$(ledger 'SELECT count(*) FROM code')"
  # None of the codes that may be out goes out again.
  campaign more '{"name": "gift", "kind": "code", "pool": "vip", "delivery": "export"}'
  submit more 10
  run -9 vouchctl job wait more --timeout 30s
  run -9 vouchctl pool export vip --job more --yes --to third.csv
  assert_contains "$output" "has 0 codes left, and 10 rows wait for one: 10 are missing"
  local row
  row=$(tail -n 1 first.csv | cut -d, -f5)
  run -0 vouchctl issuance explain "$row"
  assert_contains "$output" "look for $row in the exported files"
  vouchctl -q issuance resolve "$row" --as issued --reference first.csv --reason "it is there" --yes
  assert_equal "1 299" "$(count 'state = 5') $(count 'state = 3')"
}
