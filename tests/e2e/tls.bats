# Goal: calls go to a downstream that has proved who it is, and to no other.  Method: TLS in front
# of the rehearsal services, with a certificate of an authority that no system knows.
bats_require_minimum_version 1.5.0
load helpers
load shop

setup() {
  new_place
}
teardown() {
  stop_all
}

make_certificates() {
  local ec=(-nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:P-256)
  openssl req -x509 "${ec[@]}" -subj /CN=authority -keyout "$PLACE/ca.key" -out "$PLACE/ca.pem"
  openssl req -x509 "${ec[@]}" -subj /CN=coupons -CA "$PLACE/ca.pem" -CAkey "$PLACE/ca.key" \
    -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=IP:127.0.0.1 \
    -keyout "$PLACE/coupons.key" -out "$PLACE/coupons.pem"
} 2>/dev/null

# The services behind TLS; the definition of the shop's downstream leads there.
start_tls_sandbox() {
  start_sandbox
  start front python3 "$BATS_TEST_DIRNAME/tls_front.py" "$PLACE/front.port" \
    "$PLACE/coupons.pem" "$PLACE/coupons.key" "$SANDBOX_PORT"
  wait_until 10 test -s "$PLACE/front.port"
  SANDBOX_URL=https://127.0.0.1:$(cat "$PLACE/front.port")
  export SANDBOX_URL
}

has_issued() { (($(ledger 'SELECT count(*) FROM issuance WHERE state = 5') == $1)); }
is_paused_for_setup() { [[ "$(ledger 'SELECT pause_reason FROM job')" == 3 ]]; }

# bats test_tags=short
@test "tls: a certificate without proof pauses for setup, the authority's file mends it" {
  make_certificates
  start_tls_sandbox
  make_shop 200
  local untouched
  untouched=$(cat "$PLACE"/journals/*)
  start_vouchd
  submit_shop
  wait_until 20 is_paused_for_setup
  assert_contains "$(vouchctl job show shop-1)" "a certificate that does not prove who it is"
  assert_contains "$(vouchctl log --kind attempt -n 1)" "a certificate that does not prove"
  assert_equal "$untouched" "$(cat "$PLACE"/journals/*)" # not a request has come
  stop vouchd

  start_vouchd --downstream-authorities "$PLACE/ca.pem" --setup-probe 500ms
  wait_until 30 has_issued 200 # by itself
  run -0 vouchctl job wait shop-1 --timeout 60s
  assert_equal 0 "$(ledger 'SELECT sum(failed + held) FROM job_range')"
  judge
}

# bats test_tags=short
@test "tls: a file of authorities that is none is refused at the start" {
  vouchctl -q init
  printf 'hello\n' >"$PLACE/ca.pem"
  run -2 vouchd --downstream-authorities "$PLACE/ca.pem"
  assert_contains "$output" "--downstream-authorities: $PLACE/ca.pem: no certificates in PEM"
  VOUCH_DOWNSTREAM_AUTHORITIES=$PLACE/none run -2 vouchd --check-config
  assert_contains "$output" "$PLACE/none: cannot open: No such file or directory"
  printf '[downstream]\nauthorities = %s\n' "$PLACE/ca.pem" >"$PLACE/vouchd.conf"
  run -2 vouchd --config "$PLACE/vouchd.conf" --check-config
  assert_contains "$output" "vouchd.conf: downstream-authorities: $PLACE/ca.pem: no certificates"
}
