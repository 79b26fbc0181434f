# exports.bash: exports that die on their way, and are begun again, in a store of their own.
#
# Sourced by failpoints.sh, with `count`, `not_reached`, `lists` and what place.bash has.
# vouchctl dies at its failpoints and vouchd at its own; both are named export-...  Then
# judge_exports.py holds all the files against the ledger.
# shellcheck shell=bash disable=SC2154
readonly export_files=$place/files
# Three pages of what vouchd takes, or has confirmed, in one call.
readonly export_rows=2500

# An item that waits for its export for each of the rows, in a job of this name.
wait_for_export() { # NAME
  local status=0
  printf '{"name": "%s", "items": [{"name": "gift", "kind": "code", "pool": "vip",
    "delivery": "export"}]}\n' "$1" >"$place/$1.json"
  vouchctl -q campaign create "$place/$1.json"
  make-recipients --rows "$export_rows" --seed $((++lists)) >"$place/$1.csv"
  vouchctl -q job submit --campaign "$1" --client shop --file "$place/$1.csv" --submit-key "$1" \
    --amount-unit minor
  vouchctl -q job wait "$1" --timeout 120s >"$place/export.log" 2>&1 || status=$?
  ((status == 9)) || { cat "$place/export.log" >&2 && return 1; }  # people are waited for
}

export_to() { # JOB FILE
  vouchctl -q pool export vip --job "$1" --yes --to "$export_files/$2"
}

# The same line again, at once or after a restart of vouchd, which puts in doubt what was taken.
# Where a file stands already it is not touched, and another is asked for.
export_again() { # JOB
  local file=$export_files/$1.csv before='' status=0
  [[ ! -e "$file" ]] || before=$(sha256sum <"$file")
  export_to "$1" "$1.csv" 2>"$place/export.log" || status=$?
  if [[ -n "$before" ]]; then
    if ((status != 6)) || [[ "$before" != "$(sha256sum <"$file")" ]]; then
      printf 'error: %s is written anew\n' "$file" >&2
      return 1
    fi
    export_to "$1" "$1-again.csv"
  else
    ((status == 0)) || { cat "$place/export.log" >&2 && return 1; }
  fi
  vouchctl -q job wait "$1" --timeout 60s
}

vouchctl_dies_at() { # NAME JOB
  local status=0 nth
  choose_nth "$1"
  start_vouchd
  wait_for_export "$2"
  (VOUCH_FAILPOINT=$1:$nth export_to "$2" "$2.csv") >"$place/export.log" 2>&1 || status=$?
  ((status == 137)) || not_reached+=("$1")
  if ((RANDOM % 2)); then
    kill_daemon
    start_vouchd
    await 30 vouchd_answers
  fi
  export_again "$2"
  stop_daemon
}

vouchd_dies_at() { # NAME JOB
  local nth status=0
  choose_nth "$1"
  VOUCH_FAILPOINT=$1:$nth start_vouchd
  wait_for_export "$2"
  # It dies after its last answer where it is to die a moment later.
  export_to "$2" "$2.csv" 2>"$place/export.log" || true
  await 20 vouchd_is_gone || kill_daemon
  wait "$daemon_pid" 2>/dev/null || status=$?
  ((status == 137)) || not_reached+=("$1")
  start_vouchd
  await 30 vouchd_answers
  export_again "$2"
  stop_daemon
}

# choose_nth NAME: of the three pages one, where it comes by with each.
choose_nth() {
  nth=1
  case "$1" in
    export-take-* | export-confirm-* | export-page-* | export-half-page) nth=$((RANDOM % 3 + 1)) ;;
  esac
}

vouchd_answers() {
  local socket
  socket=$(sqlite3 -readonly "$VOUCH_STORE/ledger/main/ledger.db" \
    "SELECT value FROM ledger_meta WHERE key = 'control_socket'")
  curl -sS --unix-socket "$socket" http://vouchd/
}

vouchd_is_gone() { ! kill -0 "$daemon_pid"; }

die_while_exporting() {
  local -x VOUCH_STORE=$place/exports
  local i name
  mkdir "$export_files"
  vouchctl -q init
  vouchctl -q client create shop
  vouchctl -q pool create vip
  vouchctl -q pool generate vip --prefix VIP- --count \
    $(((${#vouchctl_exports[@]} + ${#vouchd_exports[@]}) * count * export_rows))
  for ((i = 0; i < count; ++i)); do
    for name in "${vouchctl_exports[@]}"; do vouchctl_dies_at "$name" "$name-$i"; done
    for name in "${vouchd_exports[@]}"; do vouchd_dies_at "$name" "$name-$i"; done
  done
  verdict 'ledger and exported files agree' \
    python3 tests/campaigns/judge_exports.py "$VOUCH_STORE" "$export_rows"
  verdict 'no code is left over' test 0 = "$(vouchctl pool show vip -o json | jq .left)"
  verdict 'the store is whole' vouchctl -q store check
}
