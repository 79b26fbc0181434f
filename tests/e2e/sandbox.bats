# Goal: vouch-sandbox is a program one can rehearse with: it starts, tells its port, journals before
# it answers, survives kill -9, stops cleanly, and its journals can be checked by anybody.
bats_require_minimum_version 1.5.0
load helpers

setup() {
  new_place
}
teardown() {
  stop_all
}

# call ID [SERVICE]: one call as vouchd makes it.
call() {
  curl -sS --max-time 20 -H "Idempotency-Key: $1" "$SANDBOX_URL/${2:-coupons}" -d \
    "{\"request_id\":\"$1\",\"recipient_id\":\"u-$1\",\"amount_minor\":500,\"currency\":\"CNY\"}"
}

# bats test_tags=short
@test "sandbox: starts, executes, tells, stops" {
  start_sandbox
  assert_contains "$(cat "$PLACE/sandbox.log")" "listening on $SANDBOX_URL"
  assert_equal '"c-000001"' "$(call r1 | jq .reference)"
  assert_equal '"c-000001"' "$(call r1 | jq .reference)"
  assert_equal '"b-000001"' "$(call r1 balances | jq .reference)"
  assert_equal 1 "$(curl -sS "$SANDBOX_URL/stats" | jq .coupons.replays)"
  run -0 vouch-sandbox check-journal "$PLACE/journals"
  assert_contains "$output" "sum          500 CNY"
  run -11 vouch-sandbox --journal-dir "$PLACE/journals"
  stop sandbox
  assert_contains "$(cat "$PLACE/sandbox.log")" "coupons: 1 executions, 1 replays"

  start_sandbox
  assert_equal '"c-000001"' "$(call r1 | jq .reference)"
  curl -sS -X POST "$SANDBOX_URL/quit"
  wait_until 10 has_ended "$(pid_of sandbox)"
}

@test "sandbox: what was answered is in the journal after kill -9, and is answered again" {
  start_sandbox --latency 1ms
  for ((i = 0; i < 3000; ++i)); do
    printf 'next\nurl = "%s/coupons"\nheader = "Idempotency-Key: r%d"\n' "$SANDBOX_URL" "$i"
    printf 'data = "{\\"request_id\\":\\"r%d\\",\\"recipient_id\\":\\"u\\"}"\n' "$i"
    printf 'output = "%s/answer.%d"\n' "$PLACE" "$i"
  done | sed 1d >"$PLACE/calls"
  curl -sS --parallel --parallel-max 32 --config "$PLACE/calls" 2>/dev/null &
  local caller=$!
  wait_until 20 test -s "$PLACE/answer.800"
  kill -KILL "$(pid_of sandbox)"
  wait "$caller" || true
  wait "$(pid_of sandbox)" || true

  start_sandbox
  local answered=0 lost=0 file
  for file in "$PLACE"/answer.*; do
    jq -er .reference "$file" >"$PLACE/reference" 2>/dev/null || continue # cut short: no answer
    ((++answered))
    grep -q ",$(cat "$PLACE/reference"),r${file##*.}," "$PLACE/journals/coupons.csv" || ((++lost))
  done
  ((answered >= 700))
  assert_equal 0 "$lost"
  assert_equal "$(jq .reference "$PLACE/answer.800")" \
    "$(curl -sS -H 'Idempotency-Key: r800' "$SANDBOX_URL/coupons" \
      -d '{"request_id":"r800","recipient_id":"u"}' | jq .reference)"
  run -0 vouch-sandbox check-journal "$PLACE/journals"
}

@test "sandbox: nothing is answered before its journal is synced" {
  ! is_sanitized || skip "a sanitized program cannot be traced"
  start sandbox strace -f -o "$PLACE/trace" -e trace=pwrite64,fdatasync,sendto \
    vouch-sandbox --port-file "$PLACE/port" --journal-dir "$PLACE/journals"
  wait_until 10 test -s "$PLACE/port"
  SANDBOX_URL=http://127.0.0.1:$(cat "$PLACE/port")
  local i
  for i in 1 2 3 4 5; do call "r$i" >/dev/null; done
  curl -sS -X POST "$SANDBOX_URL/quit" >/dev/null
  wait_until 10 has_ended "$(pid_of sandbox)"
  run -0 awk '/pwrite64/ {dirty = 1} /fdatasync\(.* = 0/ {dirty = 0}
    /sendto.*HTTP\/1.1 200/ {++sent; if (dirty) ++early} END {print sent + 0, early + 0}' \
    "$PLACE/trace"
  assert_equal "6 0" "$output"
}

@test "sandbox: what libcurl does on a dead reused connection is a double in the journal" {
  local fault
  for fault in closed reset; do
    rm -rf "$PLACE/journals"
    start_sandbox --keys-max 0 --fault "$fault,count=1"
    run -0 curl -sS "$SANDBOX_URL/coupons" -d '{"request_id":"a","recipient_id":"u"}' --next \
      -sS "$SANDBOX_URL/coupons" -d '{"request_id":"b","recipient_id":"u"}'
    run -1 vouch-sandbox check-journal "$PLACE/journals"
    assert_contains "$output" "executed 2 times: b"
    stop sandbox
  done
  rm -rf "$PLACE/journals"
  start_sandbox --keys-max 0 --fault closed,count=1,listener_closed=30s
  run -7 curl -sS "$SANDBOX_URL/coupons" -d '{"request_id":"a","recipient_id":"u"}' --next \
    -sS "$SANDBOX_URL/coupons" -d '{"request_id":"b","recipient_id":"u"}'
  run -0 vouch-sandbox check-journal "$PLACE/journals"
  assert_contains "$output" "executions   2"
}

# bats test_tags=short
@test "sandbox: what is wrong is said clearly" {
  run -2 vouch-sandbox --prot 1
  run -2 vouch-sandbox --port 70000
  run -7 vouch-sandbox --journal-dir "$PLACE/journals" --fault coupons:lots=1%
  assert_contains "$output" 'did you mean "lost"?'
  run -7 vouch-sandbox --journal-dir "$PLACE/journals" --listen localhost
  run -5 vouch-sandbox check-journal "$PLACE"
  run -5 vouch-sandbox --faults "$PLACE/absent"
  printf '{"coupons": {"latency": {"kind": "fixed", "ms": "x"}}}' >"$PLACE/faults.json"
  run -7 vouch-sandbox --faults "$PLACE/faults.json"
  assert_contains "$output" "faults.json: /coupons/latency/ms: must be a number"
  start_sandbox
  run -12 vouch-sandbox --journal-dir "$PLACE/other" --port "$SANDBOX_PORT"
}
