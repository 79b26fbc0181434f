# Goal: what operators and cron do with jobs ends as the manual says, and its exit status can be
# trusted.  Method: vouchd and the sandbox in earnest, small lists, faults where a test is about
# them.
bats_require_minimum_version 1.5.0
load helpers

setup() {
  new_place
  cd "$PLACE" || return 1
}
teardown() { stop_all; }

# make_gifts [RATE]: sandbox, store, client shop, the campaign gift (a coupon of 5.00, a credit from
# the column amount) and files.
make_gifts() {
  local kind rate=${1:-5000/s}
  start_sandbox
  vouchctl -q init
  for kind in coupon balance; do
    vouchctl -q downstream create "${kind}s" --kind "$kind" --contract key --allow-http \
      --url "$SANDBOX_URL/${kind}s" --limit "$rate" --timeout 2s \
      --outcomes "$REPOSITORY/examples/outcomes-sandbox.json"
  done
  cat >gift.json <<'JSON'
{"name": "gift", "items": [
  {"name": "coupon", "kind": "coupon", "downstream": "coupons",
   "amount": {"minor": 500, "currency": "EUR"}},
  {"name": "credit", "kind": "balance", "downstream": "balances",
   "amount": {"column": "amount", "currency": "EUR"}}]}
JSON
  vouchctl -q campaign create gift.json
  vouchctl -q client create shop
  recipients cust 40 >november.csv
}

# recipients PREFIX COUNT
recipients() {
  local i
  printf 'recipient_id,amount,city\n'
  for ((i = 1; i <= $2; ++i)); do
    printf '%s-%06d,%d.25,"Ems, %d"\n' "$1" "$i" "$((i % 9 + 1))" "$i"
  done
}

submit() { # KEY FILE OPTIONS...
  local key=$1 file=$2
  shift 2
  vouchctl job submit --campaign gift --file "$file" --amount-unit major --submit-key "$key" "$@"
}
wait_for_job() { vouchctl -q job wait --timeout 60s "$@"; }
field() { vouchctl job show "$1" -o json | jq -r ".$2"; }
is_state() { [[ "$(field "$1" state)" == "$2" ]]; }
jobs() { vouchctl job list -o csv | tail -n +2 | wc -l; }
executions() { cat "$PLACE"/journals/{coupons,balances}.csv | grep -vc '^time_ms'; }
faults() { curl -sS --fail -X PUT -d "$1" "$SANDBOX_URL/faults" >/dev/null; }
refuse() { # RECIPIENT...: from now on, and nobody else
  faults "{\"coupons\":{\"refusals\":[{\"probability\":0,\"code\":\"BLOCKED\",
    \"recipients\":[$(printf '"%s",' "$@" | sed 's/,$//')]}]}}"
}

# bats test_tags=short
@test "job: submitted once under a key, drained, and its results are the journal" {
  make_gifts
  printf 'cust-000003,9.00,twice\ncust-bad,1e3,bad\n' >>november.csv
  start_vouchd
  run -0 submit nov november.csv --on-error skip -o name
  run -0 wait_for_job nov
  run -0 submit nov november.csv --on-error skip
  assert_contains "$output" "is there already"
  assert_equal 1 "$(jobs)"
  assert_equal "done 40 80 0 true" \
    "$(vouchctl job show nov -o json |
      jq -r '"\(.state) \(.rows) \(.issued) \(.repeats) \(.balanced)"')"
  local credits
  credits=$(vouchctl recipients show nov -o json | jq '.amounts[0].sum_minor')
  assert_equal $((40 * 500 + credits)) "$(field nov issued_minor)"

  vouchctl job results nov -o csv >results.csv
  run -0 python3 - <<'PY'
import csv
results = list(csv.DictReader(open("results.csv", newline="")))
partner = list(csv.DictReader(open("november.csv", newline="")))
lines = [int(row["vouch_line"]) for row in results]
assert lines == sorted(lines) and set(lines) == set(range(2, 44)), lines
for row in results:  # the partner's own columns, as they came
    of = partner[int(row["vouch_line"]) - 2]
    assert all(row[column] == of[column] for column in of), row
issued = {(r["vouch_issuance"], r["vouch_reference"], r["vouch_amount_minor"])
          for r in results if r["vouch_result"] == "issued"}
journal = set()
for service in ("coupons", "balances"):
    for row in csv.DictReader(open(f"journals/{service}.csv")):
        journal.add((row["request_id"], row["reference"], row["amount_minor"]))
assert issued == journal and len(issued) == 80
others = [(r["vouch_line"], r["vouch_result"], r["vouch_code"]) for r in results
          if r["vouch_result"] != "issued"]
assert others == [("42", "duplicate", "conflicting"), ("43", "rejected", "amount_exponent")], others
PY
  run -0 --separate-stderr vouchctl job results nov -o ndjson --only not-issued -q
  assert_equal 2 "$(wc -l <<<"$output")"
}

@test "job: the same list twice, at once and in another order, gives each recipient one voucher" {
  make_gifts 100/s
  run -0 submit first november.csv
  run -6 submit second november.csv
  run -0 submit second november.csv --again
  { head -1 november.csv && tail -n +2 november.csv | shuf; } >shuffled.csv
  run -0 submit third shuffled.csv --again
  start_vouchd
  run -0 wait_for_job first
  run -0 wait_for_job second
  run -0 wait_for_job third
  assert_equal 80 "$(executions)"
  assert_equal "80 160" \
    "$(vouchctl job list -o json | jq -r '"\(map(.issued) | add) \(map(.repeats) | add)"')"
  local key
  for key in first second third; do assert_equal true "$(field "$key" balanced)"; done
}

@test "job: other content under the key is refused, and nothing of it is kept" {
  make_gifts
  run -0 submit nov november.csv
  recipients other 5 >other.csv
  run -6 submit nov other.csv
  assert_contains "$output" 'the submit key "nov" belongs to job_'
  run -6 submit nov november.csv --rate 5/s
  run -6 submit nov november.csv --for-date 2030-01-01
  run -6 submit elsewhere november.csv
  assert_contains "$output" "submit that list with --list, or add --again"
  run -7 submit few other.csv --min-rows 6
  run -7 submit late other.csv --finish-by 2020-01-01
  assert_contains "$output" "after its finish-by of 2020-01-01 00:00:00 +00:00"
  run -2 submit bad november.csv --for-date 2026-02-30
  assert_equal "1 1" "$(jobs) $(vouchctl recipients list -o name | wc -l)"
  assert_equal 1 "$(find "$VOUCH_STORE/recipients" -name '*.db' | wc -l)"
  run -0 submit late other.csv --finish-by 2020-01-01 --accept-late
}

@test "job: mistakes of the command line" {
  make_gifts
  run -2 vouchctl job submit --campaign gift
  assert_contains "$output" "one of --list LIST and --file FILE"
  run -5 vouchctl job submit --campaign gift --list novembre
  run -2 submit k november.csv --tolerate issued=2%
  run -2 submit k november.csv --start-at sometime
  run -5 vouchctl job show nothing
  vouchctl -q client create second
  run -2 submit k november.csv
  assert_contains "$output" "there are several clients"
  run -0 submit k november.csv --client second
  run -2 vouchctl job wait k --for ready
  run -2 vouchctl job wait
  run -2 vouchctl job rerun k
  run -2 vouchctl job rerun k --state issued
  run -6 vouchctl job rerun k --state failed
  run -2 vouchctl job results k --only nought
  run -2 vouchctl issuance show abc
  run -2 vouchctl issuance list
}

@test "job: a header alone is a job of no rows, done" {
  make_gifts
  start_vouchd
  recipients none 0 >none.csv
  run -0 submit first none.csv --wait --timeout 20s -q
  assert_equal "" "$output"
  run -0 submit second none.csv --wait --timeout 20s
  assert_equal "done 0" "$(field second state) $(field second total)"
  run -7 submit third none.csv --min-rows 1
  assert_equal "" "$(vouchctl job results first -o csv | tail -n +2)"
}

@test "job: a dry run shows what would happen and does none of it" {
  make_gifts 500/s
  start_vouchd
  submit nov november.csv -q
  wait_for_job nov
  { cat november.csv && recipients new 855 | tail -n +2; } >more.csv
  local before
  before=$(executions)
  run -0 --separate-stderr submit more more.csv --dry-run -o json
  assert_equal "895 1790 80 1710" "$(json '"\(.rows) \(.issuances) \(.repeats) \(.to_issue)"')"
  assert_equal "balances 855 427.5" \
    "$(json '.calls[0] | "\(.downstream) \(.calls) \(.target_per_second)"')"
  assert_equal 2000 "$(json .takes_ms)"
  assert_equal $((855 * 500 + $(recipients new 855 | awk -F'[,.]' 'NR > 1 {s += $2 * 100 + 25}
    END {print s}'))) "$(json .money_minor.EUR)"
  run -0 submit more more.csv --dry-run --rate 10/s
  assert_contains "$output" "limit 500/s, warning 450/s, target 427.5/s"
  assert_contains "$output" "1m 25s"
  assert_equal "1 1" "$(jobs) $(find "$VOUCH_STORE/recipients" -mindepth 1 | wc -l)"
  assert_equal "$before" "$(executions)"
}

@test "wait: 3 for rows without a voucher, 0 for what is tolerated, 8 at the time limit" {
  make_gifts
  run -0 submit nov november.csv --tolerate declined=4
  run -8 vouchctl job wait nov --timeout 300ms
  assert_contains "$output" "no vouchd runs"
  refuse cust-000001 cust-000002 cust-000003 cust-000004
  start_vouchd
  run -0 wait_for_job nov
  run -3 wait_for_job nov --tolerate declined=4%
  assert_contains "$output" "4 declined of 80"
  run -0 wait_for_job nov --tolerate declined=5%
  run -2 wait_for_job nov --tolerate declined=lots
  run -6 vouchctl job wait nov --for paused
  run -0 vouchctl job wait nov --for started
  run -3 vouchctl job wait nov --tolerate failed=0 -o json
  run -0 vouchctl issuance list --job nov --state declined -o json
  assert_equal "4 BLOCKED" "$(json '"\(length) \(.[0].reason)"')"
}

@test "wait: 9 at once when a person is needed" {
  make_gifts
  start_vouchd
  run -0 submit nov november.csv --pilot 10
  run -9 vouchctl job wait nov --timeout 60s
  assert_contains "$output" "the pilot's rows are settled"
  assert_equal "paused 20" "$(field nov state) $(field nov issued)"
  run -0 vouchctl job wait nov --for paused --timeout 10s
  run -0 vouchctl job resume nov
  run -0 wait_for_job nov
  assert_equal 80 "$(executions)"

  recipients fresh 20 >fresh.csv
  faults '{"coupons":{"faults":[{"kind":"unauthorized","probability":1}]}}'
  run -9 submit setup fresh.csv --wait --timeout 60s
  assert_contains "$output" "credentials, URL or form"
}

@test "job: one that mostly ends without vouchers pauses, until people have looked" {
  make_gifts 400/s
  start_vouchd
  faults '{"coupons":{"refusals":[{"probability":1,"code":"SOLD_OUT"}]},
    "balances":{"refusals":[{"probability":1,"code":"SOLD_OUT"}]}}'
  recipients many 2000 >many.csv
  run -9 submit many many.csv --wait --timeout 60s
  assert_contains "$output" "too many rows end without a voucher"
  assert_equal "paused failures" "$(vouchctl job list -o json | jq -r '.[0] |
    "\(.state) \(.reason)"')"
  # It was stopped long before its end, and goes on when somebody says so.
  (($(field many declined) < 3000))
  faults '{}'
  run -0 vouchctl job update many --pause-at-failures 100
  run -0 vouchctl job resume many
  run -3 vouchctl -q job wait many --timeout 120s
  assert_equal "$(executions)" "$(field many issued)"
  run -2 vouchctl job update many --pause-at-failures 101
}

@test "job: paused, resumed, limited, cancelled" {
  make_gifts 20/s
  start_vouchd
  recipients slow 200 >slow.csv
  run -0 submit slow slow.csv
  run -0 vouchctl job wait slow --for started --timeout 20s
  run -0 vouchctl job pause slow --reason "partner asks to wait"
  assert_contains "$output" "paused"
  assert_contains "$(vouchctl job show slow)" "an operator paused it: partner asks to wait"
  run -5 vouchctl job pause nothing
  run -9 vouchctl job wait slow --timeout 20s
  run -0 vouchctl job resume slow
  run -6 vouchctl job resume slow

  # Its own rate is seen by vouchd without a word from anybody.
  run -0 vouchctl job limit slow 1/s
  assert_equal 1 "$(field slow rate_per_second)"
  run -7 vouchctl job update slow --finish-by "$(date -u -d '+10 seconds' +%FT%TZ)"
  run -0 vouchctl job update slow --no-rate --dry-run
  assert_equal 1 "$(field slow rate_per_second)"
  run -2 vouchctl job limit slow fast

  run -2 vouchctl job cancel slow
  assert_contains "$output" "--yes"
  run -0 vouchctl job cancel slow --yes --reason "wrong list"
  run -3 wait_for_job slow
  assert_equal cancelled "$(field slow state)"
  run -6 vouchctl job pause slow
  run -6 vouchctl job update slow --rate 5/s
  assert_equal true "$(field slow balanced)"
  run -0 vouchctl job results slow -o csv --only not_planned
  assert_contains "$output" "cancelled before its turn"
}

@test "job: without vouchd commands are kept, and carried out when one runs" {
  make_gifts
  run -0 submit nov november.csv
  assert_contains "$output" "the job is kept and begins when one runs"
  assert_equal submitted "$(field nov state)"
  run -0 vouchctl job show nov -o json --fields state,total,issued,balanced
  assert_equal '["submitted",null,null,null]' "$(json '[.[]] | tojson')"
  run -0 vouchctl job pause nov
  assert_contains "$output" "asked to pause"
  assert_contains "$output" "no vouchd runs for the instance \"main\": the command is kept"
  run -12 vouchctl issuance create --campaign gift --recipient x --amount amount=1 \
    --amount-unit minor
  start_vouchd
  wait_until 20 is_state nov paused
  run -0 vouchctl job resume nov
  run -0 wait_for_job nov
}

@test "job: a rerun gives declined rows again, and results follow it" {
  make_gifts
  start_vouchd
  refuse cust-000001 cust-000002 cust-000003
  run -3 submit nov november.csv --wait --timeout 60s
  run -0 --separate-stderr vouchctl job rerun nov --state declined,failed --dry-run -o json
  assert_equal "3 3 0" "$(json '"\(.issuances) \(.declined) \(.failed)"')"
  faults '{"coupons":{}}'
  run -0 vouchctl job rerun nov --state declined --submit-key nov-2 --wait --timeout 60s
  run -0 vouchctl job rerun nov --state declined --submit-key nov-2
  assert_contains "$output" "is there already"
  run -0 vouchctl job rerun nov --state declined
  assert_contains "$output" "there is nothing to rerun"
  assert_equal 80 "$(executions)"
  assert_equal 80 "$(vouchctl job results nov -o csv --only issued | tail -n +2 | wc -l)"
  assert_equal 3 "$(vouchctl job results nov-2 -o csv | tail -n +2 | wc -l)"
  assert_equal "77 3" "$(field nov issued) $(field nov moved)"
  local id
  id=$(vouchctl job results nov-2 -o json | jq -r '.[0].vouch_issuance')
  run -0 vouchctl issuance show "$id" --timeline -o json
  assert_equal "attempt rerun attempt" "$(json '[.timeline[].event] | join(" ")')"
  assert_equal 1 "$(json .round)"
}

@test "issuance: one recipient, once, and everything is explained" {
  make_gifts
  start_vouchd
  submit nov november.csv -q
  wait_for_job nov
  create() {
    vouchctl issuance create --campaign gift --recipient "$1" --amount amount=12.50 \
      --amount-unit major --wait --timeout 20s "${@:2}"
  }
  run -0 create walk-in -o json
  assert_equal "2 issued 1250" "$(json '"\(length) \(.[1].state) \(.[1].amount_minor)"')"
  run -0 create walk-in
  assert_contains "$output" "nothing new"
  run -0 create cust-000001
  assert_contains "$output" "nothing new"
  assert_equal 82 "$(executions)"
  refuse blocked
  run -3 create blocked
  run -7 vouchctl issuance create --campaign gift --recipient x
  run -2 vouchctl issuance create --campaign gift --recipient x --amount sum=1 --amount-unit minor
  run -0 vouchctl issuance create --campaign gift --recipient x --amount amount=1 \
    --amount-unit minor --dry-run
  assert_contains "$output" "dry run"

  run -0 vouchctl explain cust-000001
  assert_contains "$output" "recipient cu***01"
  [[ "$output" != *cust-000001* ]]
  assert_contains "$output" "2 issuances for it, issued"
  run -0 vouchctl explain blocked -o json
  assert_equal "declined issued" "$(json '[.[].result] | join(" ")')"
  run -5 vouchctl explain nobody
  assert_contains "$output" "is in no list"
  local id
  id=$(vouchctl issuance list --campaign gift --recipient blocked --state declined -o name)
  run -0 vouchctl issuance explain "$id"
  assert_contains "$output" "coupon of gift is declined: the downstream refused it"
  assert_contains "$output" "BLOCKED"
  # Pages go on where the last one ended.
  run -0 --separate-stderr vouchctl issuance list --campaign gift --limit 50 -o name
  local first=$output
  assert_equal 50 "$(wc -l <<<"$first")"
  # shellcheck disable=SC2154  # bats sets it
  assert_contains "$stderr" "--after $(tail -n 1 <<<"$first")"
  run -0 vouchctl issuance list --campaign gift --limit 0 -o name --after "$(tail -n 1 <<<"$first")"
  assert_equal $((84 - 50)) "$(wc -l <<<"$output")"
}

@test "explain: refused, duplicate, repeat" {
  make_gifts
  start_vouchd
  submit nov november.csv -q
  wait_for_job nov
  printf 'recipient_id,amount\ncust-000001,1.00\ncust-000001,2.00\nkund-1,"1,00"\n' >dec.csv
  run -0 submit dec dec.csv --on-error skip --wait --timeout 20s
  run -0 vouchctl explain cust-000001 -o json
  assert_equal "of line 2, with other amounts or attributes" \
    "$(json '.[] | select(.what == "duplicate") | .words')"
  assert_contains "$(json '.[] | select(.what == "job") | .words')" "a repeat: job_"
  run -0 vouchctl explain kund-1 -o json
  assert_equal "rejected 4 amount_comma" "$(json '.[0] | "\(.what) \(.line) \(.result)"')"
}

@test "job: a campaign belongs to the instance that had its first job" {
  make_gifts
  vouchctl -q --instance internal job submit --campaign gift --file november.csv \
    --amount-unit major --submit-key nov
  assert_equal internal "$(vouchctl campaign show gift -o json | jq -r .instance)"
  recipients other 3 >other.csv
  run -6 submit other other.csv
  assert_contains "$output" 'the campaign "gift" belongs to the instance "internal"'
  assert_contains "$output" "hint: add --instance internal"
  run -6 submit other other.csv --dry-run
  assert_equal 1 "$(jobs)"
  run -6 vouchctl issuance create --campaign gift --recipient x --amount amount=1 \
    --amount-unit minor
  run -0 vouchctl --instance internal job submit --campaign gift --file other.csv \
    --amount-unit major --submit-key other
}

@test "commands: an older control store is refused; accepted, it goes on with new commands" {
  make_gifts
  vouchctl -q job submit --campaign gift --file november.csv --amount-unit major --submit-key nov
  cp store/control/control.db older.db
  start_vouchd
  wait_for_job nov
  recipients other 3 >other.csv
  submit other other.csv --wait --timeout 20s
  stop vouchd
  cp older.db store/control/control.db
  run -9 vouchd --store store --admin-listen none
  assert_contains "$output" "ends at command 1 but the ledger has applied command 2"
  assert_contains "$output" "vouchd --accept-older-control"
  start_vouchd --accept-older-control
  recipients third 4 >third.csv
  run -0 submit third third.csv --wait --timeout 20s
  assert_equal 4 "$(field third rows)"
  stop vouchd
  start_vouchd  # once is enough
}

@test "results: text that is a formula is quoted for spreadsheets, and left alone on request" {
  make_gifts
  printf 'recipient_id,amount,note\n%s\n%s\n%s\n' \
    'cust-1,1.50,"=HYPERLINK(""http://evil"")"' cust-2,1.50,-5.00 cust-3,1.50,@sum >f.csv
  vouchctl -q job submit --campaign gift --client shop --file f.csv --submit-key formulas \
    --amount-unit major
  run -0 vouchctl job results formulas -o csv --fields recipient_id,note
  assert_contains "$output" "cust-1,\"'=HYPERLINK(\"\"http://evil\"\")\""
  assert_contains "$output" "cust-2,-5.00"
  assert_contains "$output" "cust-3,'@sum"
  run -0 vouchctl job results formulas -o csv --raw --fields recipient_id,note
  assert_contains "$output" 'cust-1,"=HYPERLINK(""http://evil"")"'
  run -0 --separate-stderr vouchctl job results formulas -o ndjson
  assert_equal '=HYPERLINK("http://evil")' "$(head -n 1 <<<"$output" | jq -r .note)"
}

@test "submit: a campaign's lists take recipient ids for one thing, or one person counts as two" {
  make_gifts
  printf 'recipient_id,amount\n+491701234567,1.50\n' >phones.csv
  printf 'recipient_id,amount\n0170/1234567,1.50\n' >written.csv
  local phone=(--id-type phone --country DE)
  submit_for() {
    vouchctl -q job submit --campaign gift --client shop --amount-unit major --file "$1" \
      --submit-key "$2" "${@:3}"
  }
  run -0 submit_for phones.csv one "${phone[@]}"
  run -6 submit_for written.csv two
  assert_contains "$output" "imported with --id-type phone, this one with opaque"
  assert_contains "$output" "two vouchers"
  run -6 submit_for written.csv two --dry-run
  assert_equal 1 "$(vouchctl job list -o name | wc -l)"
  assert_equal 1 "$(vouchctl recipients list -o name | wc -l)"
  # The country says how numbers are written, not whose they are.
  printf 'recipient_id,amount\n0664 1234567,1.50\n' >austria.csv
  run -0 submit_for austria.csv three --id-type phone --country AT
  run -0 submit_for written.csv two "${phone[@]}"
  run -7 vouchctl issuance create --campaign gift --client shop --recipient 0170/1234567 \
    --amount amount=1.50 --amount-unit major
  assert_contains "$output" "are phone numbers"
  start_vouchd
  run -0 vouchctl job wait one two three --timeout 60s
  # Two people, a coupon and a credit each.
  assert_equal 4 "$(executions)"
}

@test "submit: a ledger that vouchd is just making is one that is not there yet" {
  make_gifts
  mkdir -p "$VOUCH_STORE/ledger/main"
  : >"$VOUCH_STORE/ledger/main/ledger.db"
  run -0 vouchctl job submit --campaign gift --client shop --file november.csv \
    --amount-unit major --submit-key early
  assert_equal submitted "$(vouchctl job show early -o json | jq -r .state)"
  start_vouchd
  run -0 vouchctl job wait early --timeout 60s
}
