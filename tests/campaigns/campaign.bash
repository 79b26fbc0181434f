# campaign.bash: what the campaigns share: one store, one sandbox with faults, one job, and the
# judgement at its end by the services' journals.
#
# Sourced with `contract` and `rows` set; needs the folder of the programs in VOUCH_BIN.
# shellcheck shell=bash disable=SC2034,SC2154  # the campaigns set some and use others
readonly bin=${VOUCH_BIN:-$PWD/build/release/bin}
in_flight=64
definition=(--contract "$contract")
sandbox=() submission=()
case "$contract" in
  key) ;;
  query)
    sandbox=(--keys-max 0)
    definition+=(--settle-time 2s)
    ;;
  none)
    in_flight=16
    sandbox=(--keys-max 0)
    submission=(--accept-uncertain)
    ;;
  *) printf 'error: no contract "%s"\n' "$contract" >&2 && exit 2 ;;
esac
if [[ ! "$rows" =~ ^[1-9][0-9]*$ ]]; then
  printf 'error: "%s" is no number of rows\n' "$rows" >&2
  exit 2
fi
readonly in_flight sandbox submission
# A little of everything; a campaign may choose other faults, and a shorter limit of a call.
faults=(--fault lost=0.2% --fault error=0.5% --fault closed=0.2% --fault reset=0.2%
  --fault throttled=0.2% --refusals 0.5%)
timeout=1s
place=$(mktemp -d "${TMPDIR:-/tmp}/vouch-campaign-XXXXXX")
readonly place
export PATH=$bin:$PATH VOUCH_STORE=$place/store
readonly ledger=$VOUCH_STORE/ledger/main/ledger.db
sandbox_pid='' daemon_pid=''

clean_up() {
  local status=$?
  [[ -z "$daemon_pid" ]] || kill -9 "$daemon_pid" 2>/dev/null || true
  [[ -z "$sandbox_pid" ]] || kill "$sandbox_pid" 2>/dev/null || true
  wait 2>/dev/null || true
  if ((status == 0)); then rm -rf "$place"; else printf 'kept for a look: %s\n' "$place" >&2; fi
}
trap clean_up EXIT

await() { # SECONDS COMMAND...: until it succeeds
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < until)) || { printf 'error: still not true: %s\n' "$*" >&2 && return 1; }
    sleep 0.05
  done
}

# prepare RATE [FAULT...]: the services, at $url, and a job at so many calls a second to each.
prepare() {
  local rate=$1
  shift
  vouch-sandbox --port 0 --port-file "$place/port" --journal-dir "$place/journal" \
    --latency median=8ms,p99=80ms "${faults[@]}" "${sandbox[@]}" "$@" \
    >"$place/sandbox.log" 2>&1 &
  sandbox_pid=$!
  await 10 test -s "$place/port"
  url=http://127.0.0.1:$(<"$place/port")
  vouchctl -q init
  printf '[{"status": 404, "pointer": "/code", "value": "NOT_FOUND", "outcome": "not_found"}]\n' \
    >"$place/query.json"
  local kind ask
  for kind in coupon balance; do
    ask=()
    [[ "$contract" != query ]] || ask=(--query-url "$url/${kind}s/{request_id}"
      --query-outcomes "$place/query.json")
    vouchctl -q downstream create "${kind}s" --kind $kind "${definition[@]}" "${ask[@]}" \
      --url "$url/${kind}s" --allow-http --timeout "$timeout" --in-flight $in_flight \
      --limit "$rate/s" --outcomes examples/outcomes-sandbox.json
  done
  vouchctl -q client create shop --lane internal
  vouchctl -q campaign create examples/campaigns/spring.json
  make-recipients --rows "$rows" >"$place/partner.csv"
  vouchctl -q job submit --campaign spring --file "$place/partner.csv" --amount-unit minor \
    --client shop --submit-key kill "${submission[@]}"
  # Rows in flight at both services, and those that are ready: at most half a second of the rate.
  doubt_max=$((2 * in_flight + rate))
  [[ "$contract" != none ]] || doubt_max=64  # 16 and 16 at each
}

start_daemon() {
  vouchd --admin-listen none --query-apart 1s >>"$place/vouchd.log" 2>&1 &
  daemon_pid=$!
}

ledger_value() { sqlite3 -readonly -cmd '.timeout 5000' "$ledger" "$1"; }
job_is_over() { [[ "$(ledger_value 'SELECT count(*) FROM job WHERE state IN (5, 6)')" == 1 ]]; }

stop_daemon() {
  kill "$daemon_pid"
  wait "$daemon_pid"
  daemon_pid=''
}

# Each row that the ledger has as held or in doubt stands in the list that operators see.
all_are_listed() {
  local state
  for state in held in_doubt; do
    vouchctl issuance list --job kill --state $state --limit 0 -o ndjson >"$place/listed"
    [[ "$(ledger_value "SELECT ifnull(sum($state), 0) FROM job_range")" == \
      "$(wc -l <"$place/listed")" ]] || return 1
  done
}

# judge: the verdicts, a line each for what is wrong; sets `passed` and `failed`.
passed=0 failed=0
verdict() { # WHAT COMMAND...
  if "${@:2}" >"$place/verdict.log"; then
    ((++passed))
  else
    ((++failed)) && printf 'FAIL  %s\n' "$1"
  fi
  cat "$place/verdict.log"
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
