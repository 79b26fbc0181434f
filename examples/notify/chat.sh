#!/usr/bin/env bash
# chat.sh: a notify hook that posts into a chat room, by a webhook that takes {"text": "..."}
# (Mattermost, Rocket.Chat, Slack and others).
#
#   notify-command = /etc/vouch/notify-chat         (vouchd.conf)
#
# vouchd runs the command with one JSON object on standard input and gives it 10 s.  Copy this file
# and put the webhook's URL, which is a secret, alone into the file named below, readable for the
# account vouch only.  Needs curl and jq.  Exits 0 once the chat server has taken the message.
set -euo pipefail

: "${VOUCH_CHAT_URL_FILE:=/etc/vouch/chat-webhook}"

message=$(jq -c '{text: ("**vouch: " + ((.kind // "event") | tostring) + "**\n" + (del(.kind)
  | to_entries | map("\(.key): \(.value | if type == "string" then . else tojson end)")
  | join("\n")))}')

# The URL goes to curl through a pipe: arguments can be seen by everyone with ps(1).
curl --silent --show-error --fail --max-time 8 --output /dev/null \
  --header 'Content-Type: application/json' --data-binary "$message" \
  --config <(printf 'url = "%s"\n' "$(<"$VOUCH_CHAT_URL_FILE")")
