#!/bin/sh
# What stands in for the system's programs where a page's commands are run: one script, linked under
# the name of each. $SCENE is the root of a scratch installation; nothing outside it is touched.
# The daemon of the scene is the process in $SCENE/pid, its log is $SCENE/log.
set -u

# Whoever is the parent now may take a while to collect one that has ended.
alive() {
	[ -n "$(sed -n '/^State:[[:space:]]*[RSDTt]/p' "/proc/$(cat "$SCENE/pid")/status" 2>/dev/null)" ]
}

stop() {
	[ -e "$SCENE/pid" ] || return 0
	kill "$(cat "$SCENE/pid")" 2>/dev/null
	while alive; do sleep 0.02; done
	rm -f "$SCENE/pid"
}

# Ready, or ended: what it says after its start tells which.
start() {
	before=$(wc -l <"$SCENE/log")
	CREDENTIALS_DIRECTORY=$SCENE/etc/credentials "$BUILD/orderhookd" -c "$SCENE/etc/orderhook.conf" \
		2>>"$SCENE/log" </dev/null >/dev/null &
	echo $! >"$SCENE/pid"
	until tail -n "+$((before + 1))" "$SCENE/log" | grep -q 'serving callbacks'; do
		alive || { rm -f "$SCENE/pid"; break; }
		sleep 0.02
	done
}

reload() {
	before=$(wc -l <"$SCENE/log")
	kill -HUP "$(cat "$SCENE/pid")"
	until tail -n "+$((before + 1))" "$SCENE/log" | grep -q reload; do sleep 0.02; done
}

case ${0##*/} in
orderhook) exec "$BUILD/orderhook" -c "$SCENE/etc/orderhook.conf" "$@" ;;
orderhookd) exec "$BUILD/orderhookd" -c "$SCENE/etc/orderhook.conf" "$@" ;;
sudo)
	[ "$1" = -u ] && shift 2
	exec "$@"
	;;
install) # nobody of these names need be there
	while [ "$1" = -o ] || [ "$1" = -g ]; do shift 2; done
	exec /usr/bin/install "$@"
	;;
systemctl)
	[ "${2:-}" = --now ] && set -- start
	case $1 in
	start) [ -e "$SCENE/pid" ] || start ;;
	stop) stop ;;
	restart) stop && start ;;
	reload) reload ;;
	is-active)
		[ -e "$SCENE/pid" ] || { echo inactive; exit 3; }
		echo active
		;;
	esac
	;;
journalctl) # journalctl -u orderhookd -o cat -p PRIORITY -n LINES
	priority=6 lines=1000000
	while [ $# -gt 0 ]; do
		case $1 in
		-p) case $2 in err) priority=3 ;; warning) priority=4 ;; notice) priority=5 ;; esac ;;
		-n) lines=$2 ;;
		esac
		shift
	done
	sed -n "s/^<[0-$priority]>//p" "$SCENE/log" | tail -n "$lines"
	;;
esac
