# Goal: with its locks in a Redis, whatever becomes of that Redis, and of a vouchd that is stopped
# for longer than its locks live, nothing is issued twice, no call starts under a lock that has run
# out, and late replies are kept.  Method: a real redis-server of the test's own, killed, emptied,
# paused; a listener that answers rubbish; judged by the service's journal.
bats_require_minimum_version 1.5.0
load helpers
load shop

setup() {
  new_place
  start_redis
}
teardown() {
  stop_all
}

# A call has a second: a lock lives for 3.6, three times that and the margin.
readonly quick_locks=(--lock-life 2s --lock-margin 200ms --retry-first 50ms --breaker-open 100ms)

start_redis() {
  start redis redis-server --port 0 --unixsocket "$PLACE/redis.sock" --dir "$PLACE" --save '' \
    --appendonly no --enable-debug-command yes
  wait_until 10 redis ping
}
redis() { redis-cli -s "$PLACE/redis.sock" "$@"; }

start_locked() { start_vouchd --redis "unix:$PLACE/redis.sock" "${quick_locks[@]}"; }

metric() { # NAME: its value
  curl --silent --fail "$ADMIN_URL/metrics" | awk -v name="$1" '$1 == name {print $2}'
}
is_metric() { [[ "$(metric "$1")" == "$2" ]]; }
has_issued() { (($(ledger 'SELECT count(*) FROM issuance WHERE state = 5') >= $1)); }
locks_held() { redis --scan --pattern 'vouch:*:range:*' | wc -l; }
has_lock() { (($(locks_held) > 0)); }
executions() { cat "$PLACE"/journals/coupons.csv | wc -l; }

# finish ROWS: the job ends with everything issued, once, and the locks are gone.
finish() {
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal "$1" "$(ledger 'SELECT count(*) FROM issuance WHERE state = 5')"
  judge
}

# trouble COMMAND...: while a job runs Redis is lost by it, and the job goes on at once.
trouble() {
  start_sandbox
  make_shop 1500 300
  start_locked
  submit_shop
  wait_until 20 has_issued 60
  has_lock
  assert_equal 1 "$(metric vouch_coordination_up)"
  "$@"
  wait_until 10 is_metric vouch_coordination_up 0
  assert_contains "$(curl --silent "$ADMIN_URL/readyz?verbose")" "lost"
  local before
  before=$(ledger 'SELECT count(*) FROM issuance WHERE state = 5')
  wait_until 10 has_issued $((before + 100))
  assert_contains "$(cat "$PLACE/vouchd.log")" "Redis is lost"
}

@test "locks: Redis killed and restarted empty" {
  kill_redis() { stop redis KILL || true; }
  trouble kill_redis
  start_redis
  wait_until 10 is_metric vouch_coordination_up 1
  wait_until 10 has_lock
  finish 1500
  assert_equal 1 "$(ledger "SELECT count(*) FROM event WHERE kind = 22 AND detail LIKE '%again'")"
  stop vouchd
  assert_equal 0 "$(redis dbsize)"
}

@test "locks: Redis paused for longer than a lock lives" {
  trouble redis client pause 6000 all
  wait_until 20 is_metric vouch_coordination_up 1
  finish 1500
}

# What vouchctl says of the locks, to people and to scripts.
@test "locks: vouchctl says where they are, and when that is lost" {
  start_sandbox
  make_shop 600 100
  start_locked
  submit_shop
  wait_until 20 has_issued 10
  run -0 vouchctl job show shop-1 -o json
  assert_contains "$(json .locks)" "unix:$PLACE/redis.sock since "
  run vouchctl doctor -o json
  assert_equal ok "$(json '.[] | select(.check == "locks").level')"
  stop redis KILL || true
  wait_until 10 is_metric vouch_coordination_up 0
  wait_until 5 says_lost
  run vouchctl doctor -o json
  assert_equal warn "$(json '.[] | select(.check == "locks").level')"
  local issuance
  issuance=$(vouchctl issuance list --job shop-1 --state issued -o name | head -n 1)
  run -0 vouchctl issuance explain "$issuance"
  assert_contains "$output" "goes on by its ledger's lock file"
  stop vouchd
  run -0 vouchctl job show shop-1 -o json
  assert_equal "" "$(json .locks)" # nobody knows
}
says_lost() { vouchctl job show shop-1 | grep -q 'is lost since'; }

@test "locks: Redis busy for longer than a lock lives" {
  busy() { start sleeper redis-cli -s "$PLACE/redis.sock" debug sleep 5; }
  trouble busy
  wait_until 20 is_metric vouch_coordination_up 1
  finish 1500
}

@test "locks: Redis that answers with errors, then is well again" {
  trouble redis config set maxmemory 1
  assert_contains "$(curl --silent "$ADMIN_URL/readyz?verbose")" "OOM"
  redis config set maxmemory 0
  wait_until 10 is_metric vouch_coordination_up 1
  finish 1500
}

@test "locks: emptied, the locks are set again" {
  start_sandbox
  make_shop 1500 300
  start_locked
  submit_shop
  wait_until 20 has_issued 60
  redis flushall
  wait_until 10 has_lock
  finish 1500
  assert_equal 1 "$(metric vouch_coordination_up)"
}

@test "locks: rubbish in the place of Redis stops nobody" {
  stop redis || true
  start rubbish python3 "$REPOSITORY/tests/e2e/rubbish.py" "$PLACE/redis.sock"
  wait_until 10 test -S "$PLACE/redis.sock"
  start_sandbox
  make_shop 600 600
  start_locked
  submit_shop
  finish 600
  assert_equal 0 "$(metric vouch_coordination_up)"
  stop rubbish KILL || true
  rm "$PLACE/redis.sock"
  start_redis
  wait_until 10 is_metric vouch_coordination_up 1
}

@test "locks: rubbish in the place of a Redis that held them stops nobody" {
  replace_by_rubbish() {
    stop redis KILL || true
    rm -f "$PLACE/redis.sock"
    start rubbish python3 "$REPOSITORY/tests/e2e/rubbish.py" "$PLACE/redis.sock"
  }
  trouble replace_by_rubbish
  stop rubbish KILL || true
  rm "$PLACE/redis.sock"
  start_redis
  wait_until 10 is_metric vouch_coordination_up 1
  finish 1500
}

no_lock_left() { ! has_lock; }
nothing_is_out() { [[ "$(ledger 'SELECT count(*) FROM issuance WHERE state = 1')" == 0 ]]; }
says_rival() { curl --silent "$ADMIN_URL/readyz?verbose" | grep -q 'locked by a rival'; }

@test "locks: stopped past its locks' life: no call starts, and late replies are kept" {
  start_sandbox --latency median=300ms,p99=400ms
  make_shop 1500 200
  start_locked
  submit_shop
  wait_until 20 has_issued 100
  kill -s STOP "$(pid_of vouchd)"
  local keys key called issued
  keys=$(redis --scan --pattern 'vouch:*:range:*')
  [[ -n "$keys" ]]
  # Without the grace, which is for a downstream that still works on a call.
  for key in $keys; do redis pexpire "$key" 4000 >/dev/null; done
  wait_until 20 no_lock_left
  # Somebody else has taken over.
  for key in $keys; do redis set "$key" 'elsewhere a rival 1' px 600000 >/dev/null; done
  called=$(executions)
  issued=$(ledger 'SELECT count(*) FROM issuance WHERE state = 5')
  ((called - 1 > issued)) # replies are on their way to a vouchd that does not read

  kill -s CONT "$(pid_of vouchd)"
  wait_until 10 says_rival
  # What was out is recorded; what was ready went back; nothing was called.
  wait_until 10 has_issued $((called - 1))
  assert_equal "$called" "$(executions)"
  wait_until 10 nothing_is_out
  assert_equal 0 "$(ledger 'SELECT count(*) FROM issuance WHERE state IN (3, 4)')"
  (($(metric 'vouch_lease_events_total{event="ran_out"}') > 0))
  assert_equal "$called" "$(executions)"

  local epoch
  epoch=$(ledger 'SELECT max(epoch) FROM job_range')
  for key in $keys; do redis del "$key" >/dev/null; done
  finish 1500
  (($(ledger 'SELECT max(epoch) FROM job_range') >= epoch))
}

@test "locks: left behind by a kill, they are taken over at once" {
  start_sandbox
  make_shop 600 600
  start_vouchd --redis "unix:$PLACE/redis.sock" --lock-life 5m
  submit_shop
  wait_until 20 has_issued 60
  stop vouchd KILL || true
  has_lock
  start_vouchd --redis "unix:$PLACE/redis.sock" --lock-life 5m
  finish 600
}

@test "locks: settings of Redis that are wrong are refused with what to do" {
  printf 'redis = cache:6379\n' >"$PLACE/vouchd.conf"
  run -2 vouchd --config "$PLACE/vouchd.conf" --check-config
  assert_contains "$output" 'redis://HOST:PORT/DB'
  printf 'redi = unix:/x\n' >"$PLACE/vouchd.conf"
  run -2 vouchd --config "$PLACE/vouchd.conf" --check-config
  assert_contains "$output" 'did you mean "redis"?'
  printf 'redis = redis://u:s3same@cache\n' >"$PLACE/vouchd.conf"
  run -2 vouchd --config "$PLACE/vouchd.conf" --check-config
  assert_contains "$output" 'redis-password-file'
  [[ "$output" != *s3same* ]]
  printf 'redis = "sentinel://a:1,b/shop"\nredis-password-file = /nonexistent\n' \
    >"$PLACE/vouchd.conf"
  run -2 vouchd --config "$PLACE/vouchd.conf" --check-config
  assert_contains "$output" '/nonexistent'
  printf 'sesame\n' >"$PLACE/password"
  printf 'redis = "sentinel://a:1,b/shop"\nredis-password-file = %s\n' "$PLACE/password" \
    >"$PLACE/vouchd.conf"
  run -0 vouchd --config "$PLACE/vouchd.conf" --check-config
}

# bats test_tags=short
@test "locks: with a password, over a database of its own" {
  stop redis || true
  start redis redis-server --port 0 --unixsocket "$PLACE/redis.sock" --dir "$PLACE" --save '' \
    --requirepass sesame
  printf 'sesame\n' >"$PLACE/password"
  start_sandbox
  make_shop 300 600
  start_vouchd --redis "unix:$PLACE/redis.sock?db=3" --redis-password-file "$PLACE/password" \
    "${quick_locks[@]}"
  submit_shop
  finish 300
  assert_equal 1 "$(metric vouch_coordination_up)"
  (($(metric 'vouch_lease_events_total{event="granted"}') > 0))
  [[ "$(cat "$PLACE/vouchd.log")" != *sesame* ]]
}
