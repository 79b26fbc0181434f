# Goal: whatever the network, the disk and the reader do, no voucher is issued twice and none is
# lost.  Method: real programs, faults of the service, judged by its journal.
bats_require_minimum_version 1.5.0
load helpers
load shop

setup() {
  new_place
}
teardown() {
  stop_all
}

# HTTP libraries send a POST again by themselves when a reused connection dies before an answer.
resend_test() { # FAULT [IN_FLIGHT]
  start_sandbox
  make_shop 400 2000 "${2:-32}"
  start_vouchd --retry-first 50ms
  faults "{\"faults\":[$1]}"
  submit_shop
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 400 "$(ledger 'SELECT count(*) FROM issuance WHERE state = 5')"
  judge
}

# bats test_tags=short
@test "resend: a reused connection closed after executing is not sent on twice" {
  resend_test '{"kind":"closed","probability":0.05,"count":20}'
  (($(ledger 'SELECT count(*) FROM event WHERE sends = 1 AND outcome = 3') > 0))
  assert_contains "$(vouchctl log -o ndjson)" "no answer came"
}

@test "resend: a reused connection reset after executing is not sent on twice" {
  resend_test '{"kind":"reset","probability":0.05,"count":20}'
  (($(ledger 'SELECT count(*) FROM event WHERE sends >= 1 AND outcome = 3') > 0))
}

@test "resend: with the listener gone too, could-not-connect is no proof of anything" {
  # One connection, so that no other live one can take the second send.
  resend_test '{"kind":"closed","probability":0.05,"count":3,"listener_closed_ms":300}' 1
  # What was sent is in doubt; what found no connection afterwards is not.
  (($(ledger 'SELECT count(*) FROM event WHERE sends = 1 AND outcome = 3') > 0))
  (($(ledger 'SELECT count(*) FROM event WHERE sends = 0 AND transport = 1 AND outcome = 2') > 0))
}

@test "ledger: after a write that fails no call starts, vouchd stops and says why" {
  ! is_sanitized || skip "strace and sanitizers do not go together"
  start_sandbox
  make_shop 3000 400
  submit_shop
  start vouchd strace -f -qq -o /dev/null -e trace=pwrite64 \
    -e inject=pwrite64:error=ENOSPC:when=400+ vouchd --admin-listen none
  wait_until 60 has_ended "$(pid_of vouchd)"
  local status=0
  wait "$(pid_of vouchd)" || status=$?
  rm "$PLACE/vouchd.pid"
  ((status != 0))
  assert_contains "$(cat "$PLACE/vouchd.log")" "no call starts any more"
  assert_contains "$(cat "$PLACE/vouchd.log")" "full"
  judge --open

  # What the calls that were out came to was kept aside: nothing of it is in doubt.
  start_vouchd --retry-first 50ms
  run -0 jq -c 'select(.msg == "started") | [.in_doubt_after_stop, .settled_from_spool > 0]' \
    "$PLACE/vouchd.log"
  assert_equal '[0,true]' "${lines[1]}"
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 3000 "$(ledger 'SELECT count(*) FROM issuance WHERE state = 5')"
  judge
}

@test "ledger: an I/O error of a sync stops vouchd too, and a restart carries on" {
  ! is_sanitized || skip "strace and sanitizers do not go together"
  start_sandbox
  make_shop 2000 400
  submit_shop
  start vouchd strace -f -qq -o /dev/null -e trace=fdatasync \
    -e inject=fdatasync:error=EIO:when=60+ vouchd --admin-listen none
  wait_until 60 has_ended "$(pid_of vouchd)"
  wait "$(pid_of vouchd)" || true
  rm "$PLACE/vouchd.pid"
  assert_contains "$(cat "$PLACE/vouchd.log")" "no call starts any more"
  judge --open
  start_vouchd --retry-first 50ms
  run -0 vouchctl job wait shop-1 --timeout 60s
  judge
}

@test "readers: a running, stopped and killed ledger can be read, and vouchd starts again" {
  start_sandbox
  make_shop 2000
  submit_shop
  start_vouchd
  run -0 vouchctl job show shop-1
  # A reader that stands still in the middle of a long answer.
  start reader sh -c 'vouchctl log -o ndjson | (sleep 1000)'
  run -0 vouchctl job wait shop-1 --timeout 60s
  stop vouchd
  run -0 vouchctl job show shop-1
  start_vouchd
  kill -KILL "$(pid_of vouchd)"
  wait "$(pid_of vouchd)" || true
  run -0 vouchctl job show shop-1
  start_vouchd
  # What the paused reader holds open does not keep the WAL from being reset.
  (($(stat -c %s "$VOUCH_STORE/ledger/main/ledger.db-wal") < 64 * 1024 * 1024))
  stop vouchd
  judge
}

@test "readers: who may not read is told so, and nobody but vouchd leaves files behind" {
  [[ "$(id -u)" == 0 ]] || skip "needs root to be somebody else"
  start_sandbox
  make_shop 100
  submit_shop
  start_vouchd
  run -0 vouchctl job wait shop-1 --timeout 60s
  chmod 755 "$PLACE" "$VOUCH_STORE"
  local stranger=(setpriv --reuid 65534 --regid 65534 --clear-groups)
  run ! "${stranger[@]}" vouchctl job list
  assert_contains "$output" "hint:"
  stop vouchd
  run ! "${stranger[@]}" vouchctl job list
  start_vouchd
  stop vouchd
}

@test "lock: a second daemon on the same ledger is refused, with the pid of the first" {
  start_sandbox
  make_shop 10
  start_vouchd
  run -11 vouchd --admin-listen none
  assert_contains "$output" "pid $(pid_of vouchd)"
}

has_answers() { (($(ledger 'SELECT count(*) FROM event WHERE outcome = 0') > $1)); }

@test "stop: SIGTERM ends calls that are out, records them, and takes back what never started" {
  start_sandbox --latency 300ms
  make_shop 500 500
  submit_shop
  start_vouchd
  wait_until 20 has_answers 20
  stop vouchd
  assert_equal 0 "$(ledger 'SELECT ifnull(sum(sending + in_doubt), 0) FROM job_range')"
  judge
  start_vouchd
  run -0 vouchctl job wait shop-1 --timeout 60s
  judge
}

all_are_out() { [[ "$(ledger 'SELECT count(*) FROM issuance WHERE state = 1')" == 5 ]]; }

@test "fault: calls at which vouchd dies three times are held, and the others go on" {
  ulimit -c 0
  start_sandbox
  TIMEOUT=60s make_contract 5 key
  start_vouchd --retry-first 50ms
  faults '{"faults":[{"kind":"lost","probability":1}]}'
  submit_shop
  local signal
  for signal in SEGV KILL ABRT SEGV; do # a kill from outside is no fault
    wait_until 20 all_are_out
    assert_equal 0 "$(held)"
    stop vouchd "$signal" || true
    start_vouchd --retry-first 50ms
  done
  wait_until 20 has_held 5
  assert_contains "$(vouchctl issuance explain "$(vouchctl issuance list --job shop-1 --state held \
    --limit 1 -o name)")" "vouchd died of a fault each time that this call was out"
  faults '{"faults":[]}'
  make-recipients --rows 100 --seed 9 >"$PLACE/other.csv"
  vouchctl -q job submit --campaign bench --client shop --file "$PLACE/other.csv" \
    --submit-key shop-2 --wait --timeout 60s
  assert_equal "100 5" "$(issued) $(held)"
  judge --open
}
has_held() { (($(held) >= $1)); }
