# campaign.bash: what the campaigns share: one sandbox with faults, one job, and the judgement at
# its end by the services' journals.
#
# Sourced with `contract` and `rows` set.  `batch`, if set above 1, is how many issuances go in a
# call.
# shellcheck shell=bash disable=SC2034,SC2154  # the campaigns set some and use others
: "${batch:=1}"
in_flight=64
sandbox=() submission=()
case "$contract" in
  key) ;;
  query) sandbox=(--keys-max 0) ;;
  none)
    in_flight=16
    sandbox=(--keys-max 0)
    submission=(--accept-uncertain)
    ;;
  *) printf 'error: no contract "%s"\n' "$contract" >&2 && exit 2 ;;
esac
((batch == 1)) || in_flight=16
for number in "$rows" "$batch"; do
  [[ "$number" =~ ^[1-9][0-9]*$ ]] || { printf 'error: "%s" is no number\n' "$number" >&2; exit 2; }
done
readonly in_flight sandbox submission batch
# A little of everything; a campaign may choose other faults, and a shorter limit of a call.
faults=(--fault lost=0.2% --fault error=0.5% --fault closed=0.2% --fault reset=0.2%
  --fault throttled=0.2% --fault partial=2% --fault halfway=1% --refusals 0.5%)
timeout_ms=1000
source tests/campaigns/place.bash

# define KIND: its service, as a file for `downstream create`.
define() {
  local name=${1}s path=${1}s form=''
  case "$contract" in
    query)
      form=', "settle_time_ms": 2000, "query": {"url": "'$url/$name'/{request_id}", "outcomes":
        [{"status": 404, "pointer": "/code", "value": "NOT_FOUND", "outcome": "not_found"}]}'
      ;;
  esac
  if ((batch > 1)); then
    path=$name/batch
    form+=', "batch": {"issuances_max": '$batch', "status_pointer": "/http_status"}'
  fi
  printf '{"name": "%s", "kind": "%s", "contract": "%s", "url": "%s/%s", "allow_http": true,
    "timeout_ms": %d, "in_flight_max": %d, "outcomes": %s%s}\n' "$name" "$1" "$contract" "$url" \
    "$path" "$timeout_ms" "$in_flight" "$(<examples/outcomes-sandbox.json)" "$form"
}

# prepare RATE [FAULT...]: the services, at $url, and a job at so many issuances a second to each.
prepare() {
  local rate=$((($1 + batch - 1) / batch)) kind
  shift
  start_sandbox --latency median=8ms,p99=80ms "${faults[@]}" "${sandbox[@]}" "$@"
  vouchctl -q init
  for kind in coupon balance; do
    define "$kind" >"$place/$kind.json"
    vouchctl -q downstream create --file "$place/$kind.json" --limit "$rate/s"
  done
  vouchctl -q client create shop --lane internal
  vouchctl -q campaign create examples/campaigns/spring.json
  make-recipients --rows "$rows" >"$place/partner.csv"
  vouchctl -q job submit --campaign spring --file "$place/partner.csv" --amount-unit minor \
    --client shop --submit-key kill "${submission[@]}"
  # Rows in flight at both services, and those that are ready: at most half a second of the rate,
  # or two calls.
  doubt_max=$(((2 * in_flight + (rate > 8 ? rate : 8)) * batch))
  [[ "$contract" != none ]] || doubt_max=64  # 16 and 16 at each
}

start_daemon() { start_vouchd --query-apart 1s; }
job_is_over() { [[ "$(ledger_value 'SELECT count(*) FROM job WHERE state IN (5, 6)')" == 1 ]]; }

# Each row that the ledger has as held or in doubt stands in the list that operators see.
all_are_listed() {
  local state
  for state in held in_doubt; do
    vouchctl issuance list --job kill --state $state --limit 0 -o ndjson >"$place/listed"
    [[ "$(ledger_value "SELECT ifnull(sum($state), 0) FROM job_range")" == \
      "$(wc -l <"$place/listed")" ]] || return 1
  done
}

judge() {
  # Under none what is held may have been executed; nobody but a statement can tell.
  local open=()
  [[ "$contract" != none ]] || open=(--open)
  verdict 'ledger and journals agree' \
    python3 tests/campaigns/judge.py "$ledger" "$place/journal" "${open[@]}"
  verdict 'every doubtful row is listed' all_are_listed
  verdict 'no double in the journals' vouch-sandbox check-journal "$place/journal"
}
