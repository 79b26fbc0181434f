#!/usr/bin/env bats
# Goal: whatever keeps a job waiting can be read from the command line, where it is looked for.
# Method: a job that would take minutes; then the daemon, or the service, is taken away.

bats_require_minimum_version 1.5.0
load helpers
load shop

setup() { new_place; }
teardown() { stop_all; }

# show EXPRESSION: jq over the job.
show() { vouchctl job show shop-1 -o json | jq -r "$1"; }

# A job at 20 calls a second, that has begun.
begin_slow_job() {
  start_sandbox
  make_shop 5000 20
  start_vouchd
  submit_shop
  run -0 vouchctl job wait shop-1 --for started --timeout 20s
}

works() { [[ $(show .daemon) == running ]]; }
is_said_by_show() { vouchctl job show shop-1 | grep -q "$1"; }

@test "waits: a vouchd that was killed shows in list, show, wait, watch, explain and doctor" {
  begin_slow_job
  run -0 vouchctl job show shop-1 -o json
  assert_equal "running running" "$(json '.state + " " + .daemon')"
  stop vouchd KILL || true

  run -0 vouchctl job show shop-1
  assert_contains "$output" "running (vouchd is not running since 20"
  assert_contains "$output" "start it: systemctl start vouchd"
  run -0 vouchctl job show shop-1 -o json
  assert_equal "running" "$(json .state)"
  assert_equal "not running" "$(json .daemon)"
  assert_equal "null" "$(json .ends_at)"
  [[ "$(json .daemon_seen_at)" == 20*Z ]]
  assert_contains "$(vouchctl job list)" "vouchd is not running since"
  run -1 vouchctl doctor --trouble
  assert_contains "$output" "vouchd is not running since"
  assert_contains "$output" "fix: systemctl start vouchd"
  local row
  row=$(vouchctl issuance list --job shop-1 --state sending --limit 1 -o name)
  [[ -z "$row" ]] || assert_contains "$(vouchctl issuance explain "$row")" "systemctl start vouchd"
}

@test "waits: job wait and watch say once that no vouchd runs, and go on when one does" {
  begin_slow_job
  stop vouchd
  run -8 --separate-stderr vouchctl job wait shop-1 --timeout 5s
  # shellcheck disable=SC2154  # bats sets stderr
  assert_equal 1 "$(grep -c 'warning: vouchd is not running since' <<<"$stderr")"

  start watch vouchctl job watch shop-1 --every 200ms
  wait_until 20 grep -q 'vouchd is not running since' "$PLACE/watch.log"
  vouchctl downstream limit coupons 5000/s -q
  start_vouchd
  wait_until 60 has_ended "$(pid_of watch)"
  stop watch
  assert_equal 1 "$(grep -c 'warning: vouchd is not running' "$PLACE/watch.log")"
  assert_equal 'done' "$(show .state)"
  assert_equal null "$(show .daemon)"
}

@test "waits: a vouchd that hangs is told from one that works" {
  begin_slow_job
  kill -s STOP "$(pid_of vouchd)"
  wait_until 30 is_said_by_show "running (vouchd gives no sign of life since"
  run -1 vouchctl doctor --trouble
  assert_contains "$output" "systemctl restart vouchd"
  kill -s CONT "$(pid_of vouchd)"
  wait_until 30 works
}

# A job at 100 calls a second to a vouchd that tries an ailing service twice a second.
begin_hurried_job() {
  start_sandbox
  make_shop 5000 100
  start_vouchd --breaker-open 500ms --breaker-open-max 1s --breaker-try 100ms
  submit_shop
  run -0 vouchctl job wait shop-1 --for started --timeout 20s
}

condition_is() {
  [[ $(vouchctl downstream show coupons -o json | jq -r .condition) == "$1" ]]
}
doctor_says_that_nothing_tries() {
  run -1 vouchctl doctor --trouble
  assert_contains "$output" "downstream coupons does not answer since"
  assert_contains "$output" "no call tries it"
  [[ "$output" != *"single ones try"* && "$output" != *"goes on by itself"* ]]
}
is_in_log() { words_in_log | grep -q "$1"; }
words_in_log() { vouchctl log --kind downstream -o ndjson | jq -r .detail; }

@test "waits: a downstream that does not answer shows wherever one looks, and so does its return" {
  begin_hurried_job
  condition_is ok
  stop sandbox KILL || true
  wait_until 20 is_said_by_show "running (downstream coupons does not answer since 20"
  run -0 vouchctl job show shop-1 -o json
  assert_contains "$(json .reason)" "downstream coupons does not answer"
  assert_contains "$(json '.blocked_by[0]')" "refused"
  assert_contains "$(json .what_to_do)" "goes on by itself"
  assert_contains "$(vouchctl job list)" "downstream coupons does not answer"
  assert_contains "$(vouchctl downstream list)" "does not answer"
  run -0 vouchctl downstream show coupons -o json
  assert_equal away "$(json .condition)"
  assert_contains "$(json .condition_detail)" "refused"
  [[ "$(json .condition_since)" == 20*Z ]]
  run -1 vouchctl doctor --trouble
  assert_contains "$output" "downstream coupons does not answer since"
  assert_contains "$output" "single ones try"
  local row
  row=$(vouchctl issuance list --job shop-1 --state waiting --limit 1 -o name)
  assert_contains "$(vouchctl issuance explain "$row")" "it waits: downstream coupons does not"
  run -8 --separate-stderr vouchctl job wait shop-1 --timeout 3s
  # shellcheck disable=SC2154  # bats sets stderr
  assert_equal 1 "$(grep -c 'warning: downstream coupons does not answer' <<<"$stderr")"

  # Who stopped it is the first thing to know, and meanwhile nothing is tried.
  vouchctl -q stop --downstream coupons --reason "they asked"
  run -0 vouchctl job show shop-1 -o json
  assert_contains "$(json .reason)" "coupons is stopped: they asked"
  assert_contains "$(json '.blocked_by[1]')" "downstream coupons does not answer"
  [[ "$(json '.blocked_by[]')" != *"ones try"* ]]
  doctor_says_that_nothing_tries
  vouchctl -q start --downstream coupons --yes
  vouchctl -q stop --reason "they asked"
  doctor_says_that_nothing_tries
  vouchctl -q start --yes
  vouchctl -q stop --client shop --reason "that one alone"
  assert_contains "$(vouchctl doctor --trouble)" "single ones try"
  vouchctl -q start --client shop --yes
  vouchctl -q downstream pause coupons --reason "their maintenance"
  run -0 vouchctl job show shop-1 -o json
  assert_contains "$(json .reason)" "coupons is paused: their maintenance"
  [[ "$(json '.blocked_by[]')" != *"ones try"* ]]
  vouchctl -q downstream resume coupons

  start_sandbox
  wait_until 30 condition_is ok
  wait_until 30 is_said_by_show '^State.*running$'
  assert_equal 1 "$(words_in_log | grep -c 'downstream coupons does not answer')"
  assert_equal 1 "$(words_in_log | grep -c 'downstream coupons answers again after')"
}

@test "waits: a pause that a downstream asks for is shown, and a restart forgets an outage" {
  begin_hurried_job
  faults '{"faults":[{"kind":"throttled","probability":1,"retry_after":"30"}]}'
  wait_until 20 condition_is holds
  assert_contains "$(vouchctl job show shop-1)" "downstream coupons asks to wait (HTTP 429)"
  assert_contains "$(vouchctl job list)" "downstream coupons asks to wait"
  run -0 vouchctl doctor --trouble
  assert_contains "$output" "asks to wait"
  stop vouchd
  run -0 vouchctl downstream show coupons -o json
  assert_equal null "$(json .condition)"
  faults '{"faults":[]}'
  start_vouchd
  condition_is ok
  wait_until 10 is_in_log "coupons is called again, since vouchd has started"
}
