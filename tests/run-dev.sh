#!/bin/sh
# `make run`: the daemon in the foreground with etc/orderhook.dev.conf and a scratch store in
# build/run, which is kept between runs; the token and the secret there are made once.
set -eu
build=${1:-build}
run=build/run
mkdir -p "$run"
umask 077
[ -s "$run/token" ] || printf 'dev-token-%s' "$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')" >"$run/token"
[ -s "$run/secret" ] || printf 'dev-secret-%s' "$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')" >"$run/secret"
[ -e "$run/orderhook.db" ] || "$build/orderhook" -c etc/orderhook.dev.conf init
cat <<EOF
Send it a callback from another terminal (Ctrl-C here stops it):
  curl -d @tests/fixtures/shansong/captured-1-20-1.json -H 'Content-Type: application/json' \\
    http://127.0.0.1:8080/callback/shansong/\$(cat $run/token)
EOF
exec "$build/orderhookd" -c etc/orderhook.dev.conf
