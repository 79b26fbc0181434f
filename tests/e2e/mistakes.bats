# Goal: a mistake gets one clear error that says where, what and what to do, its exit status, and
# has changed nothing.
bats_require_minimum_version 1.5.0
load helpers

setup() {
  new_place
  cd "$PLACE" || return 1
  vouchctl -q init
  vouchctl -q client create shop
  vouchctl -q downstream create coupons --kind coupon --url https://a.example/c --contract key \
    --limit 500/s
  printf 'recipient_id\na\nb\n' >list.csv
}
teardown() { stop_all; }

# refuses STATUS ERROR HINT ARGUMENT...: with one error and one hint, which hold these parts.
refuses() {
  local want=$1 message=$2 hint=$3
  shift 3
  run "-$want" --separate-stderr vouchctl "$@"
  assert_equal "" "$output"
  # shellcheck disable=SC2154  # bats sets it
  assert_equal 1 "$(grep -c '^error: ' <<<"$stderr")"
  assert_contains "$(grep '^error: ' <<<"$stderr")" "$message"
  assert_contains "$(grep '^hint: ' <<<"$stderr")" "$hint"
}

# bats test_tags=short
@test "mistakes: an empty word is a variable that was not set" {
  refuses 2 '--submit-key: is empty' '--help' job submit --campaign c --list l --submit-key ''
  refuses 2 '--reason: is empty' '--help' stop --reason ''
  refuses 2 '--name: is empty' '--help' recipients import list.csv --name ''
  refuses 2 'RECIPIENT: is empty' '--help' explain ''
  refuses 2 '--store: is empty' 'name the folder' --store '' client list
  [[ ! -e "$VOUCH_STORE/control/stop.json" ]]
  vouchctl client update shop --contact ''
}

@test "mistakes: a change of nothing is none" {
  refuses 2 'nothing to change' 'client update --help' client update shop
  refuses 2 'nothing to change' 'downstream update --help' downstream update coupons
  refuses 2 'nothing to change' 'downstream update --help' downstream update coupons --dry-run
  refuses 2 'nothing to change' 'job update --help' job update any
}

@test "mistakes: rates, numbers and names" {
  refuses 2 '"10/min" is not a rate' '20/m' downstream limit coupons 10/min
  refuses 2 '"-5/s" is not a rate' '300/s' client limit shop -5/s
  refuses 2 '--lines: must be 1 or more' 'log --help' log -n -5
  refuses 2 '--instance: "A B" is not a name' 'a-z' --instance 'A B' client list
  refuses 2 '--instance: "../x" is not a name' 'a-z' --instance ../x log
  VOUCH_INSTANCE=X refuses 7 'environment VOUCH_INSTANCE: instance: "X"' 'a-z' client list
  refuses 2 '--follow goes on without end' 'leave one' log --follow --until 1h
}

@test "mistakes: paths" {
  refuses 10 '/etc/passwd: no store is there' 'vouchctl init' --store /etc/passwd client list
  refuses 5 'nowhere.csv: cannot open' 'how the path is written' \
    recipients import nowhere.csv --name n
  mkfifo pipe
  refuses 2 'pipe: is no plain file' 'a new file' recipients import list.csv --name n --rejects pipe
  [[ -p pipe ]]
  refuses 7 'Is a directory' 'name a file' campaign create .
  refuses 5 'nowhere.conf: cannot open' 'how the path' --config nowhere.conf client list
}

@test "mistakes: a closed stream is not mistaken for a file" {
  run -1 --separate-stderr bash -c 'vouchctl recipients import - --name n <&-'
  assert_contains "$stderr" "error: standard input: cannot read: Bad file descriptor"
  run -1 --separate-stderr bash -c 'vouchctl client list >&-'
  assert_contains "$stderr" "error: standard output: Bad file descriptor"
  run -7 --separate-stderr vouchctl recipients import - --name n </dev/null
  assert_contains "$stderr" "error: standard input: is empty"
  run -0 vouchctl store check
}

@test "mistakes: a file that may not grow is an error like a full disk" {
  make-recipients --rows 50000 >long.csv
  run -1 bash -c 'ulimit -f 300; exec vouchctl recipients import long.csv --name long'
  assert_contains "$output" "error: $VOUCH_STORE/recipients"
  assert_contains "$output" "hint: "
  assert_equal "" "$(vouchctl recipients list -o name)"
  find "$VOUCH_STORE" -name '*spool*' -o -name '*.partial' | (! grep .)
}
