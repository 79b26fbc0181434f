# Goal: what an on-call engineer does at night works: stop and start, follow the log, back up and
# restore, ask the doctor, let the shell complete.
bats_require_minimum_version 1.5.0
load helpers
load world

setup_file() { make_world; }
setup() {
  new_place
  enter_world
}
teardown() { stop_all; }
teardown_file() { end_world; }

# submit_late RATE: a job of 60 fresh recipients that runs for a while.
submit_late() {
  sed 's/cust/late/' november.csv >late.csv
  vouchctl downstream limit coupons "$1" -q
  vouchctl -q job submit --campaign birthday --file late.csv --amount-unit major --client shop \
    --submit-key late
}

late_has_begun() { (($(vouchctl log --job late --kind attempt -o name | wc -l) > 3)); }

# How many events there are.
events() { vouchctl log --after 0 -o ndjson --fields seq "$@" | wc -l; }
level_of() { vouchctl doctor -o json | jq -r --arg c "$1" 'map(select(.check == $c))[0].level'; }

@test "stop: no call starts any more, also after a restart; start goes on" {
  submit_late 20/s
  start_vouchd
  wait_until 10 late_has_begun
  vouchctl stop --downstream coupons --reason "their alarm"
  # What was out has ended when the count stands still for a second, which is twenty calls' time.
  local before after=-1
  for ((i = 0; i < 10; ++i)); do
    before=$after
    after=$(events --kind attempt --job late)
    [[ "$before" != "$after" ]] || break
    read -r -t 1.1 <> <(:) || true
  done
  assert_equal "$before" "$after"
  ((after < 115)) # 60 rows of two items: it was stopped on its way
  assert_contains "$(vouchctl doctor --trouble)" "downstream coupons is stopped"
  stop vouchd
  start_vouchd
  read -r -t 1.1 <> <(:) || true
  assert_equal "$after" "$(vouchctl log --after 0 --job late --kind attempt -o name | wc -l)"
  vouchctl start --downstream coupons
  vouchctl downstream limit coupons 5000/s -q
  vouchctl job wait late --timeout 60s
}

@test "stop: a file that cannot be read stops everything, and all say where and what to do" {
  submit_late 20/s
  start_vouchd
  wait_until 10 late_has_begun
  printf '{"stops": [{"scope": 7}]}' >"$VOUCH_STORE/control/stop.json"
  wait_until 10 grep -q 'the stop file cannot be read: everything is stopped' vouchd.log
  run -1 vouchctl doctor --trouble
  assert_contains "$output" "control/stop.json: /stops/0/scope"
  assert_contains "$output" "fix: everything is stopped until it is mended"
  run -0 vouchctl job show late
  assert_contains "$output" "everything is stopped"
  assert_contains "$output" "control/stop.json"
  run ! vouchctl start
  assert_contains "$output" "to give up what it stops, remove the file"
  printf '{"stops": ' >"$VOUCH_STORE/control/stop.json"
  run ! vouchctl start
  assert_contains "$output" "control/stop.json: "
  # It is looked at five times a second, and told once for each thing that is wrong.
  read -r -t 1.1 <> <(:) || true
  (($(grep -c 'the stop file cannot be read' vouchd.log) <= 2))
  rm "$VOUCH_STORE/control/stop.json"
  vouchctl downstream limit coupons 5000/s -q
  vouchctl job wait late --timeout 60s
}

@test "stop: on a full disk everything is stopped, and start takes it back" {
  mkdir small
  mount -t tmpfs -o size=48m none small 2>/dev/null || skip "only root may mount a small disk"
  cp -a "$VOUCH_STORE" small/store
  local result=0
  VOUCH_STORE=$PLACE/small/store stop_on_full_disk || result=$?
  stop vouchd || true
  umount -l small
  return "$result"
}

stop_on_full_disk() {
  vouchctl stop --downstream balances --reason "their alarm" -q || return
  start_vouchd || return
  dd if=/dev/zero of=small/fill bs=4k 2>/dev/null || true
  run -0 vouchctl stop --downstream coupons --reason "wrong prices" || return
  assert_contains "$output" "the disk is full: everything is stopped" || return
  assert_contains "$output" "everything is stopped: no new call starts" || return
  [[ -e small/store/control/stop-all ]] || return
  # What cannot be recorded is not taken back either.
  run ! vouchctl start || return
  [[ -e small/store/control/stop-all ]] || return
  rm small/fill
  run vouchctl doctor # which fails: the disk is too small
  assert_contains "$output" "everything is stopped by" || return
  assert_contains "$output" "downstream balances is stopped by" || return
  run -0 vouchctl start
  assert_contains "$output" "everything goes on" || return
  [[ ! -e small/store/control/stop-all ]] || return
  run vouchctl doctor # which fails: the disk is too small
  assert_contains "$output" "downstream balances is stopped by" || return
  [[ "$output" != *"everything is stopped"* ]]
}

@test "log --follow goes on through a restart of vouchd, and never ends with 0" {
  start follow vouchctl log --follow -n 1 -o ndjson
  start_vouchd
  stop vouchd
  submit_late 5000/s
  start_vouchd
  vouchctl job wait late --timeout 60s
  local last
  last=$(vouchctl log -n 1 -o name)
  wait_until 10 grep -q "\"seq\":$last," "$PLACE/follow.log"
  # No number is missing and none comes twice.
  jq -es 'map(.seq) | [range(.[0]; .[-1] + 1)] == .' "$PLACE/follow.log"
  local status=0
  stop follow INT || status=$?
  ((status != 0))
}

@test "log --follow says so when the ledger becomes another one" {
  start follow vouchctl log --follow -n 1
  wait_until 5 test -s "$PLACE/follow.log"
  cp -r "$VOUCH_STORE/ledger/main" other
  sqlite3 other/ledger.db "UPDATE ledger_meta SET value = 'other' WHERE key = 'ledger_id'"
  mv "$VOUCH_STORE/ledger/main" main-before
  mv other "$VOUCH_STORE/ledger/main"
  wait_until 10 has_ended "$(pid_of follow)"
  assert_contains "$(cat "$PLACE/follow.log")" "this is another ledger"
  local status=0
  wait "$(pid_of follow)" || status=$?
  assert_equal 6 "$status"
}

@test "log: times, recipients and states choose what is shown" {
  assert_equal 0 "$(vouchctl log --until 2020-01-01 --since 2019-01-01 -o name | wc -l)"
  local all
  all=$(events)
  ((all > 120))
  assert_equal "$all" "$(vouchctl log --since 2020-01-01 -o name | wc -l)"
  assert_equal 2 "$(vouchctl log --recipient cust-000001 --state issued -o name | wc -l)"
  assert_equal 120 "$(vouchctl log --after 0 --state issued -o name | wc -l)"
  assert_equal 100 "$(vouchctl log -o name | wc -l)"
  assert_equal 7 "$(vouchctl log -n 7 --kind attempt -o name | wc -l)"
  vouchctl log --after 0 -o ndjson >events
  python3 - <<'PYTHON'
import json, os
import jsonschema
with open(os.environ["REPOSITORY"] + "/schemas/event.schema.json") as file:
    validator = jsonschema.Draft202012Validator(json.load(file))
for line in open("events"):
    validator.validate(json.loads(line))
PYTHON
}

@test "backup: taken while vouchd issues, it restores to a store that goes on" {
  submit_late 40/s
  start_vouchd
  wait_until 10 late_has_begun
  run -0 vouchctl store backup copy
  assert_contains "$output" "recipient.key is not included"
  [[ ! -e copy/control/recipient.key ]]
  vouchctl downstream limit coupons 5000/s -q
  vouchctl job wait late --timeout 60s
  stop vouchd
  jq -r '.files[] | "\(.sha256)  copy/\(.path)"' copy/manifest.json | sha256sum --check --quiet
  run -6 vouchctl store backup copy

  # As vouchctl(1) says: the copy, the secret from its safe, and the modes.
  cp "$VOUCH_STORE/control/recipient.key" key
  rm -rf "$VOUCH_STORE"
  cp -r copy "$VOUCH_STORE"
  cp key "$VOUCH_STORE/control/recipient.key"
  run -0 vouchctl store check -o json
  local bad='[.[] | select(.check != "files" and .level != "ok")] | length'
  assert_equal 0 "$(jq "$bad" <<<"$output")"
  assert_equal birthday "$(vouchctl campaign list -o name)"
}

@test "downstream test: what a service says to a GET that it does not take is explained" {
  start_vouchd
  run -0 vouchctl downstream test coupons
  assert_contains "$output" "HTTP 405: it is there and takes no GET"
  vouchctl downstream update coupons --url "$SANDBOX_URL/nowhere" -q
  run -0 vouchctl downstream test coupons
  assert_contains "$output" "HTTP 404: it is there and has nothing for a GET at this path"
}

@test "doctor: each trouble is found, and its fix mends it" {
  assert_equal ok "$(level_of files)"
  chmod 0777 "$VOUCH_STORE/control"
  run -1 vouchctl doctor -o json
  eval "$(jq -r 'map(select(.check == "files"))[0].fix' <<<"$output")"
  assert_equal ok "$(level_of files)"

  sqlite3 "$VOUCH_STORE/control/control.db" "UPDATE audit SET detail = '{}' WHERE seq = 2"
  run -1 vouchctl doctor
  assert_contains "$output" "audit row 2"

  rm "$VOUCH_STORE"/recipients/*.db
  assert_equal fail "$(level_of lists)"
  assert_equal fail "$(level_of vouchd)"
  start_vouchd
  assert_equal ok "$(level_of vouchd)"
  vouchctl downstream test coupons
  assert_equal ok "$(level_of 'downstream coupons')"
  stop vouchd
  printf 'x' >"$VOUCH_STORE/control/recipient.key"
  assert_equal fail "$(level_of 'recipient secret')"
  printf 'no database' >"$VOUCH_STORE/control/control.db"
  run -1 vouchctl doctor
  assert_contains "$output" "not a database"
}

@test "doctor: a damaged ledger is found by a check of the whole store" {
  local ledger=$VOUCH_STORE/ledger/main/ledger.db
  sqlite3 "$ledger" "PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null
  sqlite3 "$ledger" "UPDATE job_range SET issued = issued + 1" >/dev/null
  run -1 vouchctl store check
  assert_contains "$output" "do not add up"
}

@test "completion: bash completes commands, options, names and files" {
  vouchctl completion bash >completion.bash
  # shellcheck source=/dev/null
  source completion.bash
  complete_line() { # WORD...: what the last word could become
    COMP_WORDS=(vouchctl "$@") COMP_CWORD=$# COMPREPLY=()
    _vouchctl
    printf '%s ' "${COMPREPLY[@]}"
  }
  assert_contains "$(complete_line cam)" "campaign "
  assert_contains "$(complete_line campaign show b)" "birthday "
  assert_contains "$(complete_line job wait b)" "birthday-november "
  assert_contains "$(complete_line client list --ou)" "--output "
  assert_contains "$(complete_line client list -o n)" "ndjson name "
  assert_contains "$(complete_line campaign create spr)" "spring.json "
  assert_contains "$(complete_line --store "$VOUCH_STORE" job list --campaign '')" "birthday "
  assert_equal " " "$(complete_line client show nobody)"
}

@test "completion: zsh and fish scripts are sound where these shells are" {
  vouchctl completion zsh >script.zsh
  vouchctl completion fish >script.fish
  grep -q compdef script.zsh
  grep -q 'complete -c vouchctl' script.fish
  if command -v zsh >/dev/null; then zsh -n script.zsh; fi
  if command -v fish >/dev/null; then fish -n script.fish; fi
  run -2 vouchctl completion tcsh
}
