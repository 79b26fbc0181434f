# Goal: what --help shows can be typed.  Method: the examples of every command are taken from its
# --help and run, each in a fresh copy of a store that has what they name.
bats_require_minimum_version 1.5.0
load helpers
load world

setup_file() { make_world; }
setup() {
  new_place
  enter_world
}
teardown() { stop_all; }
teardown_file() { end_world; }

# examples_of COMMAND: one a line.
examples_of() {
  # shellcheck disable=SC2086  # the words of a command
  vouchctl $1 --help | sed -n '/^Examples:$/,/^$/s/^  //p'
}

# run_examples COMMAND [--with-vouchd]: each in a copy of the world.
run_examples() {
  local example count=0
  while IFS= read -r example; do
    ((++count))
    rm -rf "$PLACE/store" "$PLACE"/vouch-*
    enter_world
    [[ "${2:-}" != --with-vouchd ]] || start_vouchd
    if ! timeout 60 bash -c "set -o pipefail; $example" >"$PLACE/out" 2>&1 </dev/null; then
      printf 'this example of "%s --help" fails:\n  %s\n' "$1" "$example" >&2
      cat "$PLACE/out" >&2
      return 1
    fi
    [[ "${2:-}" != --with-vouchd ]] || stop vouchd
  done < <(examples_of "$1")
  ((count >= 2)) || {
    printf '"%s --help" shows %d examples\n' "$1" "$count" >&2
    return 1
  }
}

# run_group PATTERN [--with-vouchd]: the examples of all commands that match.
run_group() {
  local command found=0
  while IFS= read -r command; do
    ((++found))
    run_examples "$command" "${2:-}"
  done < <(vouchctl completion commands | grep -E "$1")
  ((found > 0))
}

@test "examples: store, operator, client" { run_group '^(init|store|operator|client)( |$)'; }
@test "examples: downstream" { run_group '^downstream '; }
@test "examples: campaign" { run_group '^campaign '; }
@test "examples: recipients" { run_group '^recipients '; }
@test "examples: pool" { run_group '^pool '; }
@test "examples: looking at jobs and issuances" {
  run_group '^(job (list|show|watch|wait|results)|issuance (list|show|explain)|explain)( |$)'
}
@test "examples: changing jobs, issuing one" {
  run_group '^(job (submit|rerun)|issuance (create|resolve))( |$)' --with-vouchd
}
@test "examples: reconciling" { run_group '^reconcile$'; }
@test "examples: closing a job" {
  local example
  while IFS= read -r example; do
    rm -rf "$PLACE/store"
    enter_world
    start_vouchd
    vouchctl -q reconcile coupons --statement coupons.csv --cut-off now
    vouchctl -q reconcile balances --statement balances.csv --cut-off now
    timeout 60 bash -c "$example" </dev/null
    stop vouchd
  done < <(examples_of "job close")
}
@test "examples: stopping and starting" { run_group '^(stop|start)$'; }
@test "examples: log, config, version, completion" {
  run_group '^(log|config show|version|completion)( |$)'
}
@test "examples: doctor, which misses a vouchd" { run_group '^doctor$' --with-vouchd; }
# These need a job that still runs.
@test "examples: changing, pausing, resuming and cancelling a job" {
  local command example
  for command in update limit pause resume cancel; do
    while IFS= read -r example; do
      rm -rf "$PLACE/store"
      enter_world
      sed 's/cust/late/' november.csv >late.csv
      vouchctl downstream limit coupons 2/s -q
      vouchctl -q job submit --campaign birthday --file late.csv --amount-unit major \
        --client shop --submit-key late
      start_vouchd
      [[ "$command" != resume ]] || vouchctl job pause late --reason test
      # shellcheck disable=SC2001
      timeout 60 bash -c "$(sed 's/birthday-november/late/' <<<"$example")" </dev/null
      stop vouchd
    done < <(examples_of "job $command")
  done
}

@test "examples: every command is in one of the groups above" {
  local command
  while IFS= read -r command; do
    case "$command" in
      init | store\ * | operator\ * | client\ * | downstream\ * | campaign\ * | recipients\ *) ;;
      pool\ *) ;;
      job\ * | issuance\ * | explain | stop | start | reconcile) ;;
      log | doctor | config\ show | version | completion) ;;
      *) printf 'no test runs the examples of: %s\n' "$command" >&2 && return 1 ;;
    esac
  done < <(vouchctl completion commands)
}
