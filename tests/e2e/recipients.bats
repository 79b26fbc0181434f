# Goal: a partner's file is imported whole or not at all, and everybody learns why.  Method: files
# as offices send them, and what vouchctl says to them.
bats_require_minimum_version 1.5.0
load helpers

setup() {
  new_place
  cd "$PLACE" || return 1
  vouchctl -q init
  vouchctl -q downstream create coupons --kind coupon --contract key --limit 500/s \
    --url https://coupons.example/issue
  cat >gift.json <<'JSON'
{"name": "gift", "items": [{"name": "coupon", "kind": "coupon", "downstream": "coupons",
  "amount": {"column": "amount", "currency": "EUR"}}], "amount_max_minor": 100000}
JSON
  vouchctl -q campaign create gift.json
  vouchctl -q client create shop
  cat >good.csv <<'CSV'
recipient_id,amount,city
cust-000001,12.50,"Bad Ems, Lahn"
cust-000002,3,"two
lines"
cust-000001,4.00,again
CSV
  cat >bad.csv <<'CSV'
recipient_id,amount,city
cust-000001,12.50,Ems
cust-000002,"1,00",Ems
1.38E+10,1.00,Ems
cust-000004,1e3,Ems
CSV
}

import() { vouchctl recipients import "$@" --campaign gift --amount-unit major; }
lists() { vouchctl recipients list -o csv | tail -n +2 | wc -l; }
sealed() { find "$VOUCH_STORE/recipients" -mindepth 1 | wc -l; }

# bats test_tags=short
@test "import: what was found is said, in tables and in JSON" {
  run -0 import good.csv --name november
  assert_contains "$output" "list november imported"
  assert_contains "$output" "sum 15.50 EUR, least 3.00 EUR, median 3.00 EUR, most 12.50 EUR"
  assert_contains "$output" "1 duplicate, at line 5, whose recipient stands on line 2 already"
  run -0 --separate-stderr vouchctl recipients show november -o json
  assert_equal 3 "$(json .rows)"
  assert_equal 2 "$(json .accepted)"
  assert_equal 1 "$(json .duplicates)"
  assert_equal 1 "$(json .conflicting)"
  assert_equal 1550 "$(json '.amounts[0].sum_minor')"
  assert_equal 32 "$(json '.digest | length')"
  # shellcheck disable=SC2154  # bats sets it
  assert_equal "" "$stderr"
}

@test "import: refused rows mean that nothing was imported, and can be mended" {
  run -7 --separate-stderr import bad.csv --name november --rejects rejects.csv
  assert_equal "" "$output"
  assert_contains "$stderr" "error: 3 of 4 rows refused, the first at line 3"
  assert_contains "$stderr" "hint: mend them"
  assert_equal "0 0" "$(lists) $(sealed)"
  # Mended as it is, behind its two columns.
  sed -i 's/,"1,00",/,1.00,/; s/,1.38E+10,/,cust-000003,/; s/,1e3,/,1000,/' rejects.csv
  run -0 import rejects.csv --name mended
  assert_equal 3 "$(vouchctl recipients show mended -o json | jq .accepted)"

  run -7 --separate-stderr import bad.csv --name november -o json
  assert_equal invalid "$(tail -n 1 <<<"$stderr" | jq -r .code)"
  assert_equal 3 "$(json .rejected)"
  assert_equal null "$(json .id)"
}

@test "import: good rows may be kept, within a limit" {
  run -7 import bad.csv --name november --on-error skip --max-rejects 50%
  assert_contains "$output" "more than --max-rejects allows"
  run -7 import bad.csv --name november --on-error skip --min-rows 2
  assert_equal 0 "$(sealed)"
  run -0 import bad.csv --name november --on-error skip --max-rejects 75%
  run -0 --separate-stderr vouchctl recipients rejects november -o csv
  assert_equal 4 "$(wc -l <<<"$output")"
  assert_contains "$output" 'vouch_line,vouch_error,recipient_id,amount,city'
  run -0 vouchctl recipients rejects november -o json
  assert_equal "amount_comma id_exponent amount_exponent" "$(json 'map(.code) | join(" ")')"
  run -2 import bad.csv --name x --max-rejects 3%
  run -2 import bad.csv --name x --on-error skip --max-rejects lots
}

@test "import: one name and one content are one list" {
  run -0 import good.csv --name november
  run -0 import good.csv --name november
  assert_contains "$output" "is there already"
  run -6 import good.csv --name december
  assert_contains "$output" 'imported already as "november"'
  run -0 import good.csv --name december --again
  sed 's/12.50/12.51/' good.csv >other.csv
  run -6 import other.csv --name november
  assert_equal "2 1" "$(lists) $(sealed)"
}

@test "import: a dry run checks everything and keeps nothing" {
  run -0 import good.csv --name november --dry-run -o json
  assert_equal true "$(json .dry_run)"
  assert_equal 2 "$(json .accepted)"
  run -7 import bad.csv --name november --dry-run
  assert_equal "0 0" "$(lists) $(sealed)"
}

@test "import: forms of files that offices send" {
  sed 's/,/;/g; s/Bad Ems; Lahn/Bad Ems, Lahn/' good.csv >semicolon.csv
  run -7 import semicolon.csv --name a
  assert_contains "$output" "--delimiter semicolon"
  run -0 import semicolon.csv --name a --delimiter semicolon
  printf 'recipient_id,amount,city\ncust-1,1.00,\xd5\xc5\xc8\xfd\n' >gb.csv
  run -7 import gb.csv --name b
  assert_contains "$output" "--encoding gb18030"
  run -0 import gb.csv --name b --encoding gb18030
  printf '\xff\xfe' >utf16.csv
  printf 'recipient_id,amount\r\ncust-2,1.00\r\n' | iconv -t UTF-16LE >>utf16.csv
  run -0 import utf16.csv --name c
  gzip -k good.csv
  run -6 import good.csv.gz --name d  # the same content as semicolon.csv
  run -0 import good.csv.gz --name d --again
  run -0 bash -c 'sed s/cust/kund/ good.csv | vouchctl recipients import - --name e \
    --campaign gift --amount-unit major'
  printf 'Kunde,Betrag\ncust-9,1.00\n' >mapped.csv
  run -7 import mapped.csv --name f
  assert_contains "$output" "--map"
  run -0 import mapped.csv --name f --map Kunde=recipient_id --map Betrag=amount
  printf 'recipient_id,amount\n0151 12345678,1.00\n' >phones.csv
  run -2 import phones.csv --name g --id-type phone
  run -0 import phones.csv --name g --id-type phone --country DE
}

@test "import: mistakes of the command line and of the whole file" {
  run -2 vouchctl recipients import good.csv --name a --campaign gift
  assert_contains "$output" "--amount-unit major for 12.50, --amount-unit minor for 1250"
  run -7 vouchctl recipients import good.csv --name a --campaign gift --amount-unit minor
  run -5 import nowhere.csv --name a
  run -5 vouchctl recipients import good.csv --name a --campaign gitf
  assert_contains "$output" 'did you mean "gift"?'
  run -7 import good.csv --name 'November 22'
  : >empty.csv
  run -7 import empty.csv --name a
  run -2 import good.csv --name a --delimiter pipe
  run -2 import good.csv --name a --map nonsense
  # Amounts above the campaign's maximum: a mistaken unit.
  printf 'recipient_id,amount\ncust-1,1000.01\n' >large.csv
  run -7 import large.csv --name a
  assert_contains "$output" "is above the campaign's maximum of 1000.00 EUR"
  assert_equal "0 0" "$(lists) $(sealed)"
}

@test "recipients: masked, and whole only for administrators, which is audited" {
  run -0 import good.csv --name november
  run -0 vouchctl recipients rejects november --duplicates
  assert_contains "$output" "cu***01"
  run -0 vouchctl recipients rejects november --duplicates --reveal -o json
  assert_equal cust-000001 "$(json '.[0].recipient')"
  run -0 sqlite3 -readonly "$VOUCH_STORE/control/control.db" \
    "SELECT count(*) FROM audit WHERE action = 'reveal'"
  assert_equal 1 "$output"
}

@test "recipients: a list goes for good, and its counts stay" {
  run -0 import good.csv --name november
  run -2 vouchctl recipients delete november
  assert_contains "$output" "--yes"
  run -0 vouchctl recipients delete november --dry-run
  assert_equal 1 "$(sealed)"
  run -0 vouchctl recipients delete november --yes
  assert_equal "0 0" "$(lists) $(sealed)"
  run -0 vouchctl recipients show november -o json
  assert_equal 2 "$(json .accepted)"
  run -5 vouchctl recipients rejects november
  run -0 vouchctl recipients delete november --yes
  run -5 vouchctl recipients delete novembre --yes
  assert_contains "$output" 'did you mean "november"?'
}

@test "recipients: a list that a job needs stays" {
  run -0 import good.csv --name november
  run -0 vouchctl job submit --list november --campaign gift --submit-key k
  run -6 vouchctl recipients delete november --yes
  assert_contains "$output" "is still needed by job_"
  assert_equal 1 "$(sealed)"
}

@test "import: killed at any moment nothing is half there, and the next one cleans up" {
  python3 - >large.csv <<'PY'
print("recipient_id,amount")
for i in range(200000):
    print(f"cust-{i:07d},1.00")
PY
  local delay
  for delay in 0.02 0.1 0.2 0.35; do
    timeout -s KILL "$delay" vouchctl -q recipients import large.csv --name large \
      --campaign gift --amount-unit major 3>&- || true
    [[ "$(lists)" == 0 ]] || break
  done
  run -0 import large.csv --name large
  assert_equal "1 1" "$(lists) $(sealed)"
  assert_equal 200000 "$(vouchctl recipients show large -o json | jq .accepted)"
}
