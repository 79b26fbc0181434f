# drain_world.bash: a job that is drained toward nginx, and the table of goals; for the scripts that
# measure vouchd.  They set in_flight and VOUCH_BIN before, and call start_nginx.

: "${VOUCH_BIN:?}" "${in_flight:?}"
export PATH=$VOUCH_BIN:$PATH
place=$(mktemp -d "${TMPDIR:-/tmp}/vouch-bench-XXXXXX")
readonly place
port=$(python3 -c 'import socket
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1])')
daemon_pid=''

clean_up() {
  [[ -z "$daemon_pid" ]] || kill -9 "$daemon_pid" 2>/dev/null || true
  [[ ! -s "$place/nginx.pid" ]] || kill "$(<"$place/nginx.pid")" 2>/dev/null || true
  [[ ! -s "$place/sandbox.pid" ]] || kill "$(<"$place/sandbox.pid")" 2>/dev/null || true
  [[ ! -s "$place/redis.pid" ]] || kill "$(<"$place/redis.pid")" 2>/dev/null || true
  rm -rf "$place"
}
trap clean_up EXIT

start_nginx() {
  cat >"$place/nginx.conf" <<CONF
worker_processes 1;
pid $place/nginx.pid;
error_log $place/nginx.err warn;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path $place/body; proxy_temp_path $place/proxy;
  fastcgi_temp_path $place/fcgi; uwsgi_temp_path $place/uwsgi; scgi_temp_path $place/scgi;
  keepalive_requests 100000000;
  server {
    listen 127.0.0.1:$port;
    location / {
      default_type application/json;
      set \$evidence '"reference":"c-\$request_id","request_id":"\$http_idempotency_key"';
      return 200 '{\$evidence,"amount_minor":500,"currency":"CNY","status":"issued"}';
    }
  }
}
CONF
  cat >"$place/call.lua" <<'LUA'
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Idempotency-Key"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
wrk.body = '{"request_id":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",' ..
  '"recipient_id":"user-00000001","campaign":"cmp_xxxxxxxx","item":"coupon",' ..
  '"amount_minor":500,"currency":"CNY"}'
LUA
  taskset -c 0 nginx -c "$place/nginx.conf" -p "$place" 2>/dev/null
}

ledger_value() { sqlite3 -readonly -cmd '.timeout 5000' "$VOUCH_STORE/ledger/main/ledger.db" "$1"; }

# Who is called: nginx, at a rate out of reach.  A script may have its own.
create_downstream() {
  vouchctl -q downstream create coupons --kind coupon --contract key --allow-http \
    --url "http://127.0.0.1:$port/coupons" --in-flight "$in_flight" --limit 1000000/s
}
submit_options=()

# drain ROWS [OPTIONS...]: prints "rate cpu-per-100k pss-kib" of one drained job in a store of its
# own; vouchd with these options.
drain() {
  local n=$1 pss=0 now state cpu took
  shift
  export VOUCH_STORE=$place/store-$RANDOM
  [[ -e "$place/list-$n.csv" ]] || make-recipients --rows "$n" --seed 3 >"$place/list-$n.csv"
  vouchctl -q init
  create_downstream
  vouchctl -q client create shop --lane internal
  vouchctl -q campaign create tests/bench/campaign.json
  vouchctl -q job submit --campaign bench --client shop --file "$place/list-$n.csv" \
    "${submit_options[@]}"
  taskset -c 1 vouchd --admin-listen none "$@" >"$place/vouchd.log" 2>&1 &
  daemon_pid=$!
  while :; do
    sleep 0.2
    now=$(awk '/^Pss:/ {print $2}' "/proc/$daemon_pid/smaps_rollup")
    ((now <= pss)) || pss=$now
    state=$(ledger_value 'SELECT state FROM job' 2>/dev/null || true)
    [[ "$state" != 6 && "$state" != 5 ]] || break
  done
  cpu=$(awk '{print ($14 + $15) / 100}' "/proc/$daemon_pid/stat")
  kill "$daemon_pid"
  wait "$daemon_pid" || true
  daemon_pid=''
  [[ "$(ledger_value 'SELECT count(*) FROM issuance WHERE state = 5')" == "$n" ]] ||
    { printf 'error: not every row was issued\n' >&2 && exit 1; }
  took=$(ledger_value 'SELECT (ended_ms - started_ms) / 1000.0 FROM job')
  rm -rf "$VOUCH_STORE"
  awk -v n="$n" -v t="$took" -v c="$cpu" -v p="$pss" 'BEGIN {print n / t, c * 100000 / n, p}'
}

median() { sort -g | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

failed=0
# line NAME FIGURE REFERENCE RATIO GOAL OPERATOR LIMIT: one row of the table.
line() {
  local verdict=met
  awk -v r="$4" -v l="$7" -v o="$6" 'BEGIN {exit !(o == ">=" ? r >= l : r <= l)}' ||
    { verdict=MISSED && export failed=1; }
  printf '%-34s %14s %14s %10s   %-12s %s\n' "$1" "$2" "$3" "$4" "$5" "$verdict"
}

column() { cut -d' ' -f"$2" "$place/$1" | median; }
