# Goal: vouchctl is safe in scripts: exit statuses, streams, prompts, settings and formats are as
# vouchctl(1) says.
bats_require_minimum_version 1.5.0
load helpers

setup() {
  new_place
  cd "$PLACE" || return 1
}
teardown() { stop_all; }

# A store with a client and a downstream.
make_store() {
  vouchctl init -q
  vouchctl client create shop -q
  vouchctl downstream create coupons --kind coupon --url https://a.example/c --contract key \
    --limit 500/s -q
}

# A program's view of an error: its code in JSON, on stderr, and nothing on stdout.
fails_with() {
  local status=$1 code=$2
  shift 2
  run --separate-stderr "-$status" vouchctl "$@" -o json
  assert_equal "" "$output"
  # shellcheck disable=SC2154  # bats sets it
  assert_equal "$code" "$(jq -r .code <<<"$stderr")"
  python3 - "$stderr" <<'PYTHON'
import json, os, sys
import jsonschema
with open(os.environ["REPOSITORY"] + "/schemas/error.schema.json") as file:
    jsonschema.validate(json.loads(sys.argv[1]), json.load(file))
PYTHON
}

# bats test_tags=short
@test "cli: every kind of error has its exit status and its code" {
  fails_with 10 store client list
  make_store
  fails_with 2 usage client lst
  fails_with 2 usage client create
  fails_with 2 usage client list --fields nmae
  fails_with 5 not_found client show shoop
  fails_with 6 conflict client create shop
  fails_with 7 invalid campaign create <(printf '{"name":"x"}')
  fails_with 2 usage campaign end birthday
  fails_with 12 unavailable downstream test coupons
  fails_with 10 store log
  sqlite3 "$VOUCH_STORE/control/control.db" "UPDATE operator SET account = 'someone-else'"
  fails_with 4 not_permitted client create other
}

@test "cli: data goes to stdout and nothing else does" {
  run --separate-stderr vouchctl init
  assert_equal "store $VOUCH_STORE made" "$output"
  assert_contains "$stderr" "recipient.key"
  run --separate-stderr vouchctl client list
  assert_contains "$stderr" "no clients"
  run --separate-stderr vouchctl client list -o json
  assert_equal "[]" "$output"
  assert_equal "" "$stderr"
  run --separate-stderr vouchctl client create shop -q
  assert_equal "" "$output$stderr"
}

@test "cli: a dry run meets every refusal and changes nothing" {
  make_store
  local before
  before=$(sqlite3 "$VOUCH_STORE/control/control.db" .dump | sha256sum)
  vouchctl client create other --dry-run
  vouchctl client limit shop 20/m --dry-run
  vouchctl downstream update coupons --timeout 1s --dry-run
  vouchctl operator create jo --dry-run
  vouchctl stop --reason test --dry-run
  run -6 vouchctl client create shop --dry-run
  run -7 vouchctl downstream create bad --kind coupon --url http://a/ --contract key \
    --limit 1/s --dry-run
  assert_equal "$before" "$(sqlite3 "$VOUCH_STORE/control/control.db" .dump | sha256sum)"
  [[ ! -e "$VOUCH_STORE/control/stop.json" ]]
  VOUCH_STORE=$PLACE/none vouchctl init --dry-run
  [[ ! -e "$PLACE/none" ]]
}

@test "cli: questions are asked on a terminal only" {
  make_store
  printf '{"name":"b","items":[{"name":"c","kind":"coupon","downstream":"coupons"}]}' |
    vouchctl campaign create -
  run -2 vouchctl campaign end b </dev/null
  assert_contains "$output" "--yes"
  script -qec "vouchctl campaign end b" /dev/null <<<"n" | grep -q "nothing was changed"
  assert_equal active "$(vouchctl campaign show b -o json | jq -r .state)"
  script -qec "vouchctl campaign end b" /dev/null <<<"y"
  assert_equal ended "$(vouchctl campaign show b -o json | jq -r .state)"
  run -6 vouchctl campaign resume b
}

# bats test_tags=short
@test "cli: settings come from flag, environment, file, in that order, and say so" {
  printf 'store = %s/from-file\noutput = csv\n' "$PLACE" >conf
  assert_equal "/var/lib/vouch" "$(env -u VOUCH_STORE vouchctl config show -o json |
    jq -r '.[0].value')"
  run env -u VOUCH_STORE vouchctl --config conf config show --origin --fields key,origin -o csv
  assert_contains "$output" "store,conf:1"
  local by_environment=(env "VOUCH_STORE=$PLACE/env" vouchctl)
  assert_equal "$PLACE/env" \
    "$("${by_environment[@]}" --config conf config show -o json | jq -r '.[0].value')"
  assert_equal "/x" "$("${by_environment[@]}" --store /x config show -o json | jq -r '.[0].value')"
  printf 'stroe = /x\n' >conf
  run -7 vouchctl --config conf config show
  assert_contains "$output" 'did you mean "store"?'
  run -2 vouchctl -o yaml config show
}

@test "cli: colour only where it is wanted" {
  make_store
  unset NO_COLOR
  run vouchctl client list
  [[ "$output" != *$'\033'* ]]
  CLICOLOR_FORCE=1 run vouchctl client list
  assert_contains "$output" $'\033[1m'
  CLICOLOR_FORCE=1 NO_COLOR=1 run vouchctl client list
  [[ "$output" != *$'\033'* ]]
  NO_COLOR=1 run vouchctl client list --color always
  assert_contains "$output" $'\033[1m'
  assert_contains "$(script -qec "TERM=xterm vouchctl client list" /dev/null)" $'\033[1m'
}

@test "cli: a full disk behind stdout is a failure, a closed pipe is none of our business" {
  make_store
  run -1 bash -c 'vouchctl client list >/dev/full'
  assert_contains "$output" "standard output"
  vouchctl client list | true
}

@test "cli: two people at once lose nothing" {
  vouchctl init -q
  local i pids=() pid
  for ((i = 0; i < 8; ++i)); do
    for ((j = 0; j < 5; ++j)); do vouchctl client create "c-$i-$j" -q; done &
    pids+=("$!")
    vouchctl stop --reason "r$i" --client "nobody-$i" -q 2>/dev/null &
  done
  for pid in "${pids[@]}"; do wait "$pid"; done
  assert_equal 40 "$(vouchctl client list -o name | wc -l)"
  vouchctl store check -q
  assert_equal 41 "$(sqlite3 "$VOUCH_STORE/control/control.db" 'SELECT count(*) FROM audit')"
}

@test "cli: init can be stopped anywhere and run again" {
  local syscalls=(mkdir link rename fsync fdatasync chmod) name count
  for name in "${syscalls[@]}"; do
    for count in 1 2 3; do
      rm -rf "$VOUCH_STORE"
      ! is_sanitized || skip "strace cannot be used"
      strace -f -qq -o /dev/null -e trace="$name" -e "inject=$name:signal=KILL:when=$count" \
        vouchctl init -q 2>/dev/null || true
      vouchctl init -q
      vouchctl client create shop -q
      vouchctl doctor -o json >"$PLACE/doctor"
      assert_equal 0 "$(jq '[.[] | select(.level == "fail")] | length' "$PLACE/doctor")"
    done
  done
}

@test "cli: two inits at once make one store" {
  local i pids=() pid
  for ((i = 0; i < 6; ++i)); do
    vouchctl init -q &
    pids+=("$!")
  done
  for pid in "${pids[@]}"; do wait "$pid" || true; done
  vouchctl init -q
  assert_equal 1 "$(vouchctl operator list -o name | wc -l)"
  vouchctl store check -q
}

@test "cli: what is kept and not applied yet says so when it is set, and when it is shown" {
  vouchctl -q init
  local warning="not applied yet: lane, weight and limit of a client"
  run --separate-stderr -0 vouchctl client create shop
  assert_equal "" "$stderr"
  run --separate-stderr -0 vouchctl client limit shop 300/s
  assert_contains "$stderr" "warning: $warning"
  run --separate-stderr -0 vouchctl client update shop --weight 20 -o json
  assert_contains "$stderr" "$warning"
  run --separate-stderr -0 vouchctl client show shop
  assert_contains "$stderr" "$warning"
  run --separate-stderr -0 vouchctl client pause shop --reason stocktaking
  [[ "$stderr" != *"$warning"* ]]
  run --separate-stderr -0 vouchctl client list
  assert_contains "$stderr" "$warning"
}

@test "cli: a recipient id that begins with a hyphen stands behind --" {
  make_store
  run -2 vouchctl explain -x4711
  run -5 vouchctl explain -- -x4711
  assert_contains "$output" "is in no list"
  run -0 vouchctl explain --help
  assert_contains "$output" "explain -- -4711"
}

# bats test_tags=short
@test "cli: options that contradict each other are refused" {
  make_store
  fails_with 2 usage client update shop --limit 5/s --no-limit
  vouchctl client update shop --limit 5/s -q
  vouchctl client update shop --no-limit -q
}

# bats test_tags=short
@test "store backup: one that fails leaves nothing that would stop the next" {
  make_store
  vouchctl campaign create "$REPOSITORY/tests/bench/campaign.json" -q
  vouchctl recipients import <(make-recipients --rows 10) --campaign bench --name ten -q
  local sealed
  sealed=$(echo "$VOUCH_STORE"/recipients/*.db)
  mv "$sealed" "$PLACE/aside"
  run vouchctl store backup "$PLACE/copy"
  ((status != 0))
  [[ ! -e "$PLACE/copy" && ! -e "$PLACE/copy.partial" ]]
  mv "$PLACE/aside" "$sealed"
  run -0 vouchctl store backup "$PLACE/copy"
}

# bats test_tags=short
@test "store check: damage of the ledger names the backup as the way out" {
  make_store
  start_vouchd
  stop vouchd
  local ledger=$VOUCH_STORE/ledger/main/ledger.db
  rm -f "$ledger-wal" "$ledger-shm"
  head -c 65536 /dev/zero | dd of="$ledger" conv=notrunc bs=4096 seek=1 status=none
  run -1 vouchctl store check
  assert_contains "$output" "restore the last backup"
}

# bats test_tags=short
@test "init: a store keeps its policy, and says so to who names another" {
  vouchctl init -q
  fails_with 6 conflict init --policy four-eyes
  run -6 vouchctl init --policy four-eyes --dry-run
  assert_contains "$output" "the store has the policy solo, which does not change"
  run -0 vouchctl init -o json
  assert_equal solo "$(json .policy)"
  run -0 vouchctl --store "$PLACE/other" init --policy four-eyes -q
  run -0 vouchctl --store "$PLACE/other" init -o json
  assert_equal four-eyes "$(json .policy)"
}
