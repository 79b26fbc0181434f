# Goal: the example hooks deliver what vouchd hands them, whatever characters are in it.
# Method: a mail server and a web server that take one message and write it down.
bats_require_minimum_version 1.5.0
load helpers

readonly event='{"ts":"2026-11-22T10:00:00Z","kind":"job.paused","subject":"j1",
  "campaign":"say \"hé\"","reason":"breaker open\nfor 5 min","in_doubt":3}'

setup() {
  new_place
}
teardown() {
  stop_all
}

# listen KIND: sets $port.
listen() {
  start listener "$REPOSITORY/tests/e2e/listener.py" "$1" "$PLACE/port" "$PLACE/taken"
  wait_until 10 test -s "$PLACE/port"
  port=$(cat "$PLACE/port")
}

@test "mail hook: subject and every field arrive" {
  listen smtp
  VOUCH_MAIL_SERVER=smtp://127.0.0.1:$port VOUCH_MAIL_TO=a@example.org \
    run -0 "$REPOSITORY/examples/notify/mail.sh" <<<"$event"
  wait_until 10 has_ended "$(pid_of listener)"
  mail=$(tr -d '\r' <"$PLACE/taken")
  assert_contains "$mail" "RCPT TO:<a@example.org>"
  subject=$(sed -n 's/^Subject: =?UTF-8?B?\(.*\)?=$/\1/p' <<<"$mail" | base64 -d)
  assert_equal 'vouch: job.paused j1' "$subject"
  body=$(sed '1,/^$/d; /^\.$/,$d' <<<"$mail" | base64 -d)
  assert_contains "$body" $'reason: breaker open\nfor 5 min'
  assert_contains "$body" "in_doubt: 3"
}

@test "chat hook: the text arrives as JSON" {
  listen http
  printf 'http://127.0.0.1:%s/hook\n' "$port" >"$PLACE/url"
  VOUCH_CHAT_URL_FILE=$PLACE/url run -0 "$REPOSITORY/examples/notify/chat.sh" <<<"$event"
  wait_until 10 has_ended "$(pid_of listener)"
  text=$(jq -r .text "$PLACE/taken")
  assert_contains "$text" "vouch: job.paused"
  assert_contains "$text" 'campaign: say "hé"'
}

@test "hooks: a server that is away is an error, within the time vouchd gives" {
  port=$(free_port)
  printf 'http://127.0.0.1:%s/hook\n' "$port" >"$PLACE/url"
  VOUCH_MAIL_SERVER=smtp://127.0.0.1:$port run "$REPOSITORY/examples/notify/mail.sh" <<<"$event"
  [ "$status" -ne 0 ]
  VOUCH_CHAT_URL_FILE=$PLACE/url run "$REPOSITORY/examples/notify/chat.sh" <<<"$event"
  [ "$status" -ne 0 ]
}
