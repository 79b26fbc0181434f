# Goal: the line of examples/crontab may be run again after a stop at any moment, and is one job.
# Method: run as cron runs it, killed before, between and after import and submission.
bats_require_minimum_version 1.5.0
load helpers

setup() {
  new_place
  cd "$PLACE" || return 1
  LISTS=$PLACE/lists
  mkdir lists
  start_sandbox
  vouchctl -q init
  vouchctl -q downstream create coupons --kind coupon --contract key --allow-http \
    --url "$SANDBOX_URL/coupons" --limit 20000/s --timeout 2s
  vouchctl -q client create crm
  vouchctl -q campaign create "$REPOSITORY/examples/campaigns/birthday.json"
}
teardown() { stop_all; }

cron() {
  run_crontab "$REPOSITORY/examples/crontab" PATH="$PATH" LISTS="$LISTS" VOUCH_STORE="$VOUCH_STORE"
}
today() { date +%F; }
people() { # FROM TO
  printf 'recipient_id,city\n'
  seq -f 'cust-%06.0f,Ems' "$1" "$2"
}
jobs() { vouchctl job list -o csv | tail -n +2 | wc -l; }
is_locked() { compgen -G "$VOUCH_STORE/control/submit-*.lock"; }
sealed() { find "$VOUCH_STORE/recipients" -mindepth 1 | wc -l; }
executions() { grep -vc '^time_ms' "$PLACE/journals/coupons.csv"; }

# bats test_tags=short
@test "cron: silent when all went well, and again" {
  start_vouchd
  people 1 50 >"lists/$(today).csv"
  run -0 cron
  assert_equal "" "$output"
  run -0 vouchctl -q job wait "birthday-$(today)" --timeout 60s
  run -0 cron
  assert_equal "" "$output"
  assert_equal "1 50" "$(jobs) $(executions)"
  # The partner sends another file for the same day.
  people 1 51 >"lists/$(today).csv"
  run -6 cron
  assert_contains "$output" "error: the submit key \"birthday-$(today)\" belongs to job_"
  assert_equal "1 1 50" "$(jobs) $(sealed) $(executions)"
}

@test "cron: a missing file and a bad one are told, and nothing is applied" {
  run -5 cron
  assert_contains "$output" "error: "
  { people 1 10 && printf ',Ems\n'; } >"lists/$(today).csv"
  run -7 cron
  assert_contains "$output" "more than --max-rejects allows"
  assert_equal "0 0" "$(jobs) $(sealed)"
}

@test "cron: a file without rows is a job that is done" {
  start_vouchd
  people 1 0 >"lists/$(today).csv"
  run -0 cron
  run -0 vouchctl -q job wait "birthday-$(today)" --timeout 20s
  assert_equal "" "$output"
}

@test "cron: killed at any moment and run again it is one job" {
  people 1 100000 >"lists/$(today).csv"
  local line delay
  line="exec $(crontab_command "$REPOSITORY/examples/crontab" | sed 's/^[^;]*;//')"
  line="day=$(today); $line"
  for delay in 0.02 0.05 0.08 0.12 0.16 0.2 0.3 0.5; do
    # From before the first byte is read to after the last is submitted.
    timeout -s KILL "$delay" env -i PATH="$PATH" LISTS="$LISTS" \
      VOUCH_STORE="$VOUCH_STORE" /bin/sh -c "$line" </dev/null 3>&- || true
    (("$(jobs)" <= 1))
  done
  run -0 cron
  run -0 cron
  assert_equal "1 1 1" "$(jobs) $(sealed) $(vouchctl recipients list -o name | wc -l)"
  assert_equal 100000 "$(vouchctl recipients show "birthday-$(today)" -o json | jq .accepted)"
  # The locks of those that were killed are in nobody's way.
  assert_equal 0 "$(find "$VOUCH_STORE/control" -name 'submit-*.lock' | wc -l)"
}

@test "cron: two runs at once are one job, the second waits" {
  people 1 200000 >"lists/$(today).csv"
  cron &
  local first=$!
  wait_until 20 is_locked
  run -11 vouchctl job submit --client crm --campaign birthday --file "$LISTS/$(today).csv" \
    --submit-key "birthday-$(today)"
  assert_contains "$output" "--lock-wait"
  run -0 cron
  wait "$first"
  assert_equal "1 1" "$(jobs) $(sealed)"
}

@test "cron: overlapping files under once_per year are one coupon each" {
  start_vouchd
  people 1 60 >"lists/2026-11-21.csv"
  people 31 90 >"lists/2026-11-22.csv"
  local day
  for day in 2026-11-21 2026-11-22; do
    run -0 vouchctl -q job submit --client crm --campaign birthday --file "lists/$day.csv" \
      --submit-key "birthday-$day" --for-date "$day" --wait --timeout 60s
  done
  assert_equal 90 "$(executions)"
  run -0 vouchctl job show birthday-2026-11-22 -o json
  assert_equal "30 30 true" "$(json '"\(.issued) \(.repeats) \(.balanced)"')"
  # The next year has coupons of its own.
  run -0 vouchctl -q job submit --client crm --campaign birthday --list birthday-2026-11-21 \
    --submit-key birthday-2027-11-21 --for-date 2027-11-21 --wait --timeout 60s
  assert_equal 150 "$(executions)"
  for day in 2026-11-21 2026-11-22; do vouchctl job results "birthday-$day" -o csv; done >all.csv
  assert_equal 120 "$(grep -c '^cust' all.csv)"
  assert_equal "$(grep ',issued,' all.csv | grep -oE 'c-[0-9]{6}' | sort)" \
    "$(head -n 91 journals/coupons.csv | grep -oE 'c-[0-9]{6}' | sort)"
}
