# held.bash: a job with rows that people or a statement must settle, and a second account of this
# machine.  After helpers.bash and shop.bash.

# The place of the store is short, since a socket's path must be, and open to a second account.
new_room() {
  new_place
  ROOM=$(mktemp -d /tmp/vouch-room.XXXXXX)
  chmod 0755 "$ROOM"
  export VOUCH_STORE=$ROOM/store
}
leave_room() {
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
