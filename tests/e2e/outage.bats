# Goal: an outage of the downstream costs time, not rows and not sleep.  Method: the service is away
# in every way, in scaled time, and the job goes on by itself.
bats_require_minimum_version 1.5.0
load helpers
load shop

setup() {
  new_place
}
teardown() {
  stop_all
}

# Time runs a hundred times faster than in the defaults.
readonly patience=(--breaker-open 50ms --breaker-open-max 600ms --breaker-try 10ms
  --retry-first 20ms --retry-max 600ms --setup-probe 600ms)

# outage_test FAULTS: while they last some rows have gone through, afterwards all do.
outage_test() {
  start_sandbox
  make_shop 600 300
  start_vouchd "${patience[@]}"
  submit_shop
  wait_until 20 has_issued 60
  "$@"
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 600 "$(ledger 'SELECT count(*) FROM issuance WHERE state = 5')"
  assert_equal 0 "$(ledger 'SELECT sum(failed + held + declined) FROM job_range')"
  judge
}

# Long enough for many rounds of the breaker: until so many attempts have failed.
has_suffered() { (($(ledger 'SELECT count(*) FROM event WHERE kind = 1 AND outcome <> 0') >= $1)); }

is_paused_for_setup() { [[ "$(ledger 'SELECT pause_reason FROM job')" == 3 ]]; }

suffer() { # FAULTS ATTEMPTS
  faults "{\"faults\":[$1]}"
  wait_until 40 has_suffered "$2"
  faults '{"faults":[]}'
}

# bats test_tags=short
@test "outage: refused connections" {
  refuse() {
    stop sandbox KILL || true
    wait_until 40 has_suffered 30
    start_sandbox
  }
  outage_test refuse
}

@test "outage: 502 to everybody" {
  outage_test suffer '{"kind":"error","probability":1,"status":502,"fixed_body":true}' 60
}

@test "outage: silence after execution" {
  outage_test suffer '{"kind":"lost","probability":1}' 25
}

@test "outage: resets after execution" {
  outage_test suffer '{"kind":"reset","probability":1}' 60
}

@test "outage: a credential that is wrong pauses the job, and it goes on by itself" {
  start_sandbox
  make_shop 300 300
  start_vouchd "${patience[@]}"
  submit_shop
  wait_until 20 has_issued 30
  faults '{"faults":[{"kind":"unauthorized","probability":1}]}'
  wait_until 20 is_paused_for_setup
  run -9 vouchctl job wait shop-1 --timeout 60s
  assert_contains "$(vouchctl job show shop-1)" "credentials"
  assert_equal 0 "$(ledger 'SELECT sum(failed + held) FROM job_range')"
  faults '{"faults":[]}'
  wait_until 30 has_issued 300
  judge
}
