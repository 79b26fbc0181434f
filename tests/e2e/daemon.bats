# Goal: who installs vouchd is told what is wrong with a setting, where, and what to do about it.
bats_require_minimum_version 1.5.0
load helpers
load held
load shop

setup() {
  new_place
  cd "$PLACE" || return 1
}
teardown() { stop_all; }

# refuses MESSAGE HINT LINE...: a configuration file of these lines is refused with these words.
refuses() {
  local message=$1 hint=$2
  shift 2
  printf '%s\n' "$@" >bad.conf
  run -2 vouchd --config bad.conf --check-config
  assert_contains "$output" "error: bad.conf: $message"
  assert_contains "$output" "hint: $hint"
}

# bats test_tags=short
@test "instances: the second on one address is told so, and which option gives it another" {
  vouchctl -q init
  start_vouchd
  local taken=${ADMIN_URL#http://}
  run -12 vouchd --instance external --admin-listen "$taken"
  assert_contains "$output" "error: admin-listen $taken: "
  assert_contains "$output" "Address already in use"
  assert_contains "$output" 'own: give instance "external" one with --admin-listen'
  curl --silent --fail "$ADMIN_URL/readyz"

  # As vouchd(8) says: each with its own in its configuration file.
  printf 'admin-listen = 127.0.0.1:0\nadmin-port-file = external.port\n' >vouchd@external.conf
  start external vouchd --config vouchd@external.conf --instance external
  wait_until 20 test -s external.port
  wait_until 20 curl --silent --fail "http://127.0.0.1:$(cat external.port)/readyz"
}

# What the simulation cannot show: its machines have no lock files.
@test "instances: a second vouchd on one ledger is refused, and a copy of it by the anchor" {
  start_sandbox
  make_shop 300
  start_vouchd
  run -11 vouchd --admin-listen none
  assert_contains "$output" "is held by a running vouchd, pid $(pid_of vouchd)"
  assert_contains "$output" "hint: stop that one first, or give this one another --instance"

  # A copy that is made of it as it runs, in another store that has the first one's anchor.
  mkdir "$PLACE/clone"
  cp -a "$VOUCH_STORE/." "$PLACE/clone/"
  run -0 submit_shop --wait --timeout 60s
  local anchor=$VOUCH_STORE/control/anchor-main.json
  wait_until 20 anchored
  run -9 vouchd --store "$PLACE/clone" --anchor-file "$anchor" --admin-listen none
  assert_contains "$output" "it is an older copy"
  curl --silent --fail "$ADMIN_URL/readyz"
}

# The anchor of the store has come as far as the ledger.
anchored() {
  [[ "$(jq .last_event "$VOUCH_STORE/control/anchor-main.json")" = "$(ledger \
    'SELECT max(seq) FROM event')" ]]
}

@test "configuration: a section is the beginning of its keys" {
  printf '[notify]\ncommand = /bin/true\n[retry]\nfirst = 1s\n[default]\nlog-level = debug\n' \
    >vouchd.conf
  run -0 vouchd --config vouchd.conf --check-config
  assert_equal "" "$output"
  refuses 'unknown key "notify-comand"' 'did you mean "notify-command"?' '[notify]' 'comand = /x'
}

@test "configuration: what is wrong is said with its file and key" {
  refuses 'unknown key "logg-level"' 'did you mean "log-level"?' 'logg-level = info'
  refuses 'retry-max: "10" is not a duration' 'vouchd.conf(5)' 'retry-max = 10'
  refuses 'attempts-max: ' 'vouchd.conf(5)' 'attempts-max = 0'
  refuses 'log-level: ' 'a key stands once' 'log-level = info' 'log-level = warn'
  VOUCH_STORE='' refuses 'store: is empty' 'vouchd.conf(5)' 'store ='
  refuses 'notify-command: "mail" does not begin with /' 'vouchd.conf(5)' 'notify-command = mail'
  refuses 'instance: "Ab" is no name' 'vouchd.conf(5)' 'instance = Ab'
  refuses 'accept-older-ledger: ' 'give it on the command line' 'accept-older-ledger = true'
  run -2 vouchd --config nowhere.conf --check-config
  assert_contains "$output" "nowhere.conf"
}

@test "configuration: a wrong flag is said as a flag, whatever the environment holds" {
  run -2 vouchd --retry-max 10
  assert_contains "$output" 'error: --retry-max: "10" is not a duration'
  run -2 vouchd --log-levl info
  assert_contains "$output" 'did you mean "log-level"?'
  run -2 vouchd --config
  assert_equal 'error: --config: needs a value' "${lines[0]}"
  run -2 env VOUCH_LOG_LEVEL=loud vouchd
  assert_contains "$output" "--log-level: loud"
}

@test "notices: the program of [notify] hears what becomes of a job" {
  printf '#!/bin/sh\ngrep SigBlk /proc/self/status >"$0.signals"\nexec cat >>"$0.heard"\n' >tell
  chmod +x tell
  printf '[notify]\ncommand = %s\n' "$PLACE/tell" >vouchd.conf
  start_sandbox
  make_shop 200 100
  submit_shop
  start_vouchd --config vouchd.conf
  wait_until 20 vouchctl job pause shop-1 --reason "partner asks"
  wait_until 20 grep -q '"kind":"paused"' tell.heard
  vouchctl job resume shop-1
  vouchctl job limit shop-1 none
  vouchctl downstream limit coupons 5000/s
  run -0 vouchctl job wait shop-1 --timeout 60s
  wait_until 20 grep -q '"kind":"done"' tell.heard
  assert_equal "paused resumed done " "$(jq -r .kind tell.heard | tr '\n' ' ')"
  assert_contains "$(jq -r 'select(.kind == "paused").words' tell.heard)" "partner asks"
  assert_equal "200 issued" "$(jq -r 'select(.kind == "done").words' tell.heard)"
  assert_contains "$(cat tell.signals)" 0000000000000000
}

@test "notices: a job that is over between two looks is told too" {
  printf '#!/bin/sh\nexec cat >>"$0.heard"\n' >tell
  chmod +x tell
  printf '[notify]\ncommand = %s\n' "$PLACE/tell" >vouchd.conf
  start_sandbox
  make_shop 1 5000
  start_vouchd --config vouchd.conf
  local i
  for ((i = 1; i <= 8; ++i)); do
    vouchctl -q job submit --campaign bench --client shop --file partner.csv --again \
      --name "list-$i" --submit-key "short-$i" --wait
  done
  all_are_told() { [[ $(grep -c '"kind":"done"' tell.heard) == 8 ]]; }
  wait_until 20 all_are_told
  assert_equal 8 "$(jq -r 'select(.kind == "done").subject' tell.heard | sort -u | wc -l)"
}

@test "configuration: --check-config says when nothing can listen at admin-listen" {
  run -2 vouchd --check-config --admin-listen 127.0.0.1:99999
  assert_contains "$output" "is no address"
  run -2 vouchd --check-config --admin-listen somewhere:9464
  assert_contains "$output" "not a numeric address"
  run -2 vouchd --check-config --admin-listen 203.0.113.7:9464
  assert_contains "$output" "admin-listen 203.0.113.7:9464"
  run -2 vouchd --check-config --admin-listen unix:/nowhere/admin.sock
  assert_contains "$output" "/nowhere"
  run -0 vouchd --check-config --admin-listen "unix:$PLACE/admin.sock"
  [[ ! -e "$PLACE/admin.sock" ]]
  run -0 vouchd --check-config --admin-listen none
  # What listens there may be the vouchd whose configuration this is.
  vouchctl -q init
  start_vouchd
  run -0 vouchd --check-config --admin-listen "127.0.0.1:$(cat vouchd.port)"
  assert_equal "" "$output"
}

@test "open files: the limit is raised to what calls need, or it is said that it is too low" {
  vouchctl -q init
  files_of_vouchd() { awk '/^Max open files/ {print $4}' "/proc/$(pid_of vouchd)/limits"; }
  limited() { # ulimit ARGUMENTS, then those of vouchd
    rm -f vouchd.port
    start vouchd bash -c "ulimit $1; exec vouchd --admin-listen 127.0.0.1:0 \
      --admin-port-file $PLACE/vouchd.port"
    wait_until 20 test -s vouchd.port
  }
  limited '-Sn 64'
  (($(files_of_vouchd) >= 1280))
  stop vouchd
  [[ $(cat vouchd.log) != *"too few files"* ]]
  limited '-n 300'
  assert_equal 300 "$(files_of_vouchd)"
  assert_contains "$(cat vouchd.log)" "too few files may be open"
  assert_contains "$(cat vouchd.log)" "LimitNOFILE="
}

@test "doctor: names the unit of each instance" {
  vouchctl -q init
  fix_of() { vouchctl doctor "$@" -o json | jq -r 'map(select(.check == "vouchd"))[0].fix'; }
  assert_equal "systemctl start vouchd" "$(fix_of)"
  assert_equal "systemctl start vouchd@external" "$(fix_of --instance external)"
}

@test "clock: one that is far behind the ledger's newest event is refused, unless it is accepted" {
  start_sandbox
  make_shop 20
  submit_shop
  start_vouchd
  run -0 vouchctl job wait shop-1 --timeout 60s
  stop vouchd
  # A clean stop leaves an anchor that is as far as the ledger.
  assert_equal "$(ledger 'SELECT max(seq) FROM event')" \
    "$(jq .last_event "$VOUCH_STORE/control/anchor-main.json")"
  sqlite3 "$VOUCH_STORE/ledger/main/ledger.db" \
    'UPDATE event SET at_ms = at_ms + 3600000 WHERE seq = (SELECT max(seq) FROM event)'
  run -9 vouchd --admin-listen none
  assert_contains "$output" "the clock was set back"
  assert_contains "$output" "vouchd --accept-clock"
  start_vouchd --accept-clock
  stop vouchd
}

# bats test_tags=short
@test "vouchd: a ledger that its account may not open ends it with 4, and it says what to look at" {
  need_accounts
  # Where another account may go, unlike the folder of this test.
  local room
  room=$(mktemp -d /tmp/vouch-room.XXXXXX)
  export VOUCH_STORE=$room/store
  vouchctl -q init
  start_vouchd
  stop vouchd
  chown -R nobody "$room"
  chmod 000 "$VOUCH_STORE/ledger/main/ledger.db"
  run as nobody timeout 20 vouchd --admin-listen none
  rm -r "$room"
  # shellcheck disable=SC2154  # bats sets status
  assert_equal 4 "$status"
  assert_contains "$output" "ledger.db: this account may not open it"
  assert_contains "$output" "check the modes"
}
