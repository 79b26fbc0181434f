#!/usr/bin/env bash
# mail.sh: a notify hook that sends a mail.
#
#   notify-command = /etc/vouch/notify-mail         (vouchd.conf)
#
# vouchd runs the command with one JSON object on standard input and gives it 10 s.  Copy this file
# and set the three values below.  It speaks SMTP itself: vouchd's unit forbids the setgid programs
# that sendmail(1) needs.  Needs curl and jq.  Exits 0 once the mail server has taken the mail.
set -euo pipefail

: "${VOUCH_MAIL_TO:=oncall@example.org}"
: "${VOUCH_MAIL_FROM:=vouch@example.org}"
: "${VOUCH_MAIL_SERVER:=smtp://localhost:25}"

event=$(cat)

# One word of what it is about, then every field as a line: a field that is new tomorrow is in the
# mail without a change here.
subject=$(jq -r '"vouch: " + ([.kind, .subject]
  | map(select(. != null) | tostring | gsub("[[:cntrl:]]"; " ")) | join(" "))' <<<"$event")
body=$(jq -r 'to_entries[] | "\(.key): \(.value | if type == "string" then . else tojson end)"' \
  <<<"$event")

{
  printf 'From: %s\r\nTo: %s\r\n' "$VOUCH_MAIL_FROM" "$VOUCH_MAIL_TO"
  printf 'Subject: =?UTF-8?B?%s?=\r\n' "$(printf '%s' "$subject" | base64 -w 0)"
  printf 'Date: %s\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n' "$(date -R)"
  printf 'Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n'
  printf '%s\n' "$body" | base64 -w 76
} | curl --silent --show-error --max-time 8 --mail-from "$VOUCH_MAIL_FROM" \
  --mail-rcpt "$VOUCH_MAIL_TO" --upload-file - "$VOUCH_MAIL_SERVER"
