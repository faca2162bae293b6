#!/bin/sh
# `make demo`: a daemon on a free loopback port with a scratch store, a few simulated orders, the
# order log, and nothing left behind.
set -eu
build=${1:-build}
dir=$(mktemp -d)
pid=
cleanup() {
	[ -z "$pid" ] || { kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; } || true
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

umask 077
printf 'demo-token-%s' "$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')" >"$dir/token"
printf 'demo-secret-%s' "$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')" >"$dir/secret"
cat >"$dir/orderhook.conf" <<EOF
[server]
listen = 127.0.0.1:0
admin_listen = unix:$dir/admin.sock
[store]
path = $dir/orderhook.db
environment = test
[endpoint shansong]
platform = shansong
path = /callback/shansong
token = file:$dir/token
client_id = demo-client
shop_ids = demo-shop
signature = required
secrets = file:$dir/secret
EOF
echo "== a store, and the daemon on a free loopback port"
"$build/orderhook" -c "$dir/orderhook.conf" init
"$build/orderhookd" -c "$dir/orderhook.conf" 2>"$dir/log" &
pid=$!
url=
for _ in $(seq 200); do
	url=$(sed -n 's/.*serving callbacks on \([0-9.:]*\),.*/http:\/\/\1/p' "$dir/log")
	[ -z "$url" ] || break
	kill -0 "$pid" 2>/dev/null || { cat "$dir/log" >&2; exit 1; }
	sleep 0.05
done
[ -n "$url" ] || { echo "demo: the daemon did not become ready" >&2; cat "$dir/log" >&2; exit 1; }

echo "== simulated orders, signed, with a seeded share of faults"
"$build/orderhook" simulate --to "$url/callback/shansong" --token-file "$dir/token" \
	--secret-file "$dir/secret" --client-id demo-client --shop-id demo-shop \
	--orders 12 --seed 7 --concurrency 4 --retry-interval 200ms
echo "== orderhook orders"
"$build/orderhook" -c "$dir/orderhook.conf" orders
# The one with the most to tell: $2 is its number, $11 that of its events. Sorted, so that one seed
# shows one order, whichever ended first.
order=$("$build/orderhook" -c "$dir/orderhook.conf" orders --format csv | sort -t, -k2,2 |
	awk -F, '$11 + 0 > n { n = $11; order = $2 } END { print order }')
echo "== orderhook show $order"
"$build/orderhook" -c "$dir/orderhook.conf" show "$order"
echo "== stopping"
kill "$pid"
wait "$pid"
pid=
echo "demo: done"
