# world.bash: a store with everything in it, made once for a file of tests and copied for each.
#
#   setup_file() { make_world; }            sandbox and store in $BATS_FILE_TMPDIR
#   setup() { new_place; enter_world; }     a copy of the store, and the files, in $PLACE
#   teardown() { stop_all; }
#   teardown_file() { end_world; }
#
# In it, beside coupons.csv and balances.csv, the statements of both services: the client shop,
# the downstreams coupons and balances (a sandbox that runs), the campaign birthday, the empty pool
# vip, the list november of 60 rows, and the job birthday-november, drained.  The names are those of
# the examples in --help (cli/command_line.hpp).

make_world() {
  PLACE=$BATS_FILE_TMPDIR
  new_world_environment
  write_world_files
  start_sandbox
  vouchctl init -q
  vouchctl client create shop -q
  local kind
  for kind in coupon balance; do
    vouchctl downstream create "${kind}s" --kind "$kind" --url "$SANDBOX_URL/${kind}s" \
      --allow-http --contract key --limit 5000/s --outcomes outcomes.json -q
  done
  vouchctl campaign create birthday.json -q
  vouchctl pool create vip -q 2>/dev/null
  vouchctl -q job submit --campaign birthday --file november.csv --amount-unit major \
    --name november --client shop --submit-key birthday-november
  start_vouchd
  vouchctl job wait birthday-november --timeout 60s >/dev/null
  stop vouchd
  for kind in coupon balance; do
    curl -sS --fail "$SANDBOX_URL/${kind}s/statement.csv" >"${kind}s.csv"
  done
  printf '%s\n' "$SANDBOX_URL" >"$PLACE/sandbox.url"
}

new_world_environment() {
  local place=$PLACE
  BATS_TEST_TMPDIR=$place new_place
  cd "$place" || return 1
}

write_world_files() {
  printf '[{"status": 422, "pointer": "/code", "outcome": "declined"}]\n' >outcomes.json
  cat >birthday.json <<'JSON'
{
  "name": "birthday",  // as in the examples of --help
  "items": [
    {"name": "coupon", "kind": "coupon", "downstream": "coupons"},
    {"name": "credit", "kind": "balance", "downstream": "balances",
     "amount": {"column": "amount", "currency": "EUR"}}
  ]
}
JSON
  sed s/birthday/spring/ birthday.json >spring.json
  cat >coupons.json <<'JSON'
{"name": "coupons-2", "kind": "coupon", "url": "https://coupons.example/issue", "contract": "key"}
JSON
  printf 'code,valid\nVIP-AAAA-1111,yes\nVIP-BBBB-2222,yes\n' >codes.csv
  local i
  printf 'recipient_id,amount,city\n' >november.csv
  for ((i = 1; i <= 60; ++i)); do
    printf 'cust-%06d,%d.50,"Bad Ems, %d"\n' "$i" "$((i % 20 + 1))" "$i" >>november.csv
  done
}

# The store as make_world left it, in the folder of this test.
enter_world() {
  cp -a "$BATS_FILE_TMPDIR/store" "$PLACE/store"
  cp -p "$BATS_FILE_TMPDIR"/*.json "$BATS_FILE_TMPDIR"/*.csv "$BATS_FILE_TMPDIR"/pool.key "$PLACE"
  SANDBOX_URL=$(cat "$BATS_FILE_TMPDIR/sandbox.url")
  export SANDBOX_URL
  cd "$PLACE" || return 1
}

end_world() {
  PLACE=$BATS_FILE_TMPDIR BATS_TEST_COMPLETED=1 stop_all
}
