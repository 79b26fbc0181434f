# Goal: an operator can see how an answer is classed before it comes, and change the table without
# a slip reaching the daemon.  Method: vouchctl alone, on a store with one downstream.
bats_require_minimum_version 1.5.0
load helpers

setup() {
  new_place
  cd "$PLACE" || return 1
  vouchctl -q init
  vouchctl -q downstream create gifts --kind other --contract key \
    --url https://gifts.example/issue --limit 50/s \
    --outcomes "$REPOSITORY/examples/outcomes/plain-rest.json"
}
teardown() { stop_all; }

# try STATUS BODY OPTIONS...: into $output, as JSON.
try() {
  local http_status=$1 body=$2
  shift 2
  printf '%s' "$body" >"$PLACE/body.json"
  run --separate-stderr vouchctl downstream outcomes test "$@" --status "$http_status" \
    --body "$PLACE/body.json" -o json
}
version() { vouchctl downstream show gifts -o json | jq .version; }

@test "outcomes test: the rule of the table, of the protocol, or the evidence" {
  try 422 '{"code":"SOLD_OUT"}' gifts
  assert_equal "declined 6 /code" "$(json '"\(.outcome) \(.rule) \(.pointer)"')"
  assert_equal 'rule 6 of the outcome table: status 422, /code is there' "$(json .decided_by)"
  assert_contains "$(json .follows)" final

  try 429 '{}' gifts
  assert_equal "retry null" "$(json '"\(.outcome) \(.rule)"')"
  assert_contains "$(json .decided_by)" "the protocol's rule for HTTP 429"

  try 201 '{"request_id":"x","reference":"G-1"}' gifts
  assert_equal "issued G-1" "$(json '"\(.outcome) \(.reference)"')"
  try 201 '{"request_id":"x","reference":"G-1"}' gifts --request-id y
  assert_equal in_doubt "$(json .outcome)"
  assert_contains "$(json .decided_by)" "another request id"
  try 201 '{"request_id":"x","reference":"G-1","amount_minor":500,"currency":"EUR"}' gifts \
    --amount-minor 501 --currency EUR
  assert_contains "$(json .decided_by)" "another amount"
  try 201 '{"request_id":"x","reference":"G-1"}' gifts --content-type text/html
  assert_equal in_doubt "$(json .outcome)"
}

@test "outcomes test: a definition or a table that is in no store yet, and queries" {
  cat >asked.json <<'JSON'
{"name": "asked", "kind": "coupon", "url": "https://a.example/c", "contract": "query",
 "query": {"url": "https://a.example/c/{request_id}",
           "outcomes": [{"status": 404, "pointer": "/code", "value": "NONE",
                         "outcome": "not_found"}]}}
JSON
  try 404 '{"code":"NONE"}' --file asked.json --query
  assert_equal not_found "$(json .outcome)"
  assert_contains "$(json .decided_by)" "rule 1 of the queries' outcome table"
  assert_contains "$(json .follows)" "a minute apart"
  try 404 '{"code":"NONE"}' --file asked.json
  assert_equal setup "$(json .outcome)"
  try 500 '{"code":"SYSTEM_ERROR"}' --file asked.json \
    --outcomes "$REPOSITORY/examples/outcomes/wechat-like.json"
  assert_equal "in_doubt 1" "$(json '"\(.outcome) \(.rule)"')"

  try 404 '{}' gifts --query
  assert_equal 2 "$status"
  # shellcheck disable=SC2154  # run sets it
  assert_contains "$stderr" "it has no query"
  run -2 vouchctl downstream outcomes test --status 404
  run -2 vouchctl downstream outcomes test gifts
  run -5 vouchctl downstream outcomes test nobody --status 404
}

@test "outcomes edit: a file makes a new version; a wrong one changes nothing" {
  printf '[{"status": 422, "outcome": "hold"}]' >new.json
  vouchctl downstream outcomes edit gifts --file new.json --dry-run
  assert_equal 1 "$(version)"
  run -0 vouchctl downstream outcomes edit gifts --file new.json
  assert_contains "$output" "version 2 with 1 rules"
  assert_equal 2 "$(version)"
  run -0 vouchctl downstream outcomes edit gifts --file new.json
  assert_contains "$output" unchanged
  assert_equal 2 "$(version)"
  run -7 vouchctl downstream outcomes edit gifts --file <(printf '[{"status": 422}]')
  assert_contains "$output" "/0/outcome"
  assert_equal 2 "$(version)"
}

# with_terminal COMMAND: in a terminal of its own.
with_terminal() {
  python3 -c 'import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(["bash", "-c", sys.argv[1]])))' "$1"
}

@test "outcomes edit: in an editor, on a terminal only; what is wrong is kept for mending" {
  run -2 vouchctl downstream outcomes edit gifts
  assert_contains "$output" "--file"
  export TMPDIR=$PLACE VISUAL=
  EDITOR="sed -i s/declined/hold/" with_terminal "vouchctl downstream outcomes edit gifts"
  assert_equal 2 "$(version)"
  assert_equal 0 "$(vouchctl downstream show gifts -o json |
    jq '[.definition.outcomes[] | select(.outcome == "declined")] | length')"
  run compgen -G "$PLACE/vouch-outcomes-*"
  assert_equal "" "$output"

  EDITOR="sed -i s/hold/perhaps/" run with_terminal "vouchctl downstream outcomes edit gifts"
  assert_equal 7 "$status"
  assert_contains "$output" "mend it"
  assert_equal 2 "$(version)"
  grep -q perhaps "$PLACE"/vouch-outcomes-*
  EDITOR=false run with_terminal "vouchctl downstream outcomes edit gifts"
  assert_equal 1 "$status"
}
