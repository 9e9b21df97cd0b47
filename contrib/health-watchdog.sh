#!/bin/sh
# Asks mailferry's /health and restarts the service when it has been down several times in a row.
#
# For cron, every minute:
#
#   * * * * * WATCHDOG_RESTART="docker compose --project-directory /srv/mailferry restart mailferry" /srv/mailferry/contrib/health-watchdog.sh
#
# Docker restarts a container that has ended, and systemd a service that has; neither restarts one that is running and
# does not answer. This script is for that case, and for it alone: it acts on 503 ("down": mail cannot be
# accepted and a restart could help) and on no answer at all. "degraded" is 200: some provider is in trouble, the mail is
# safe in the queue, and a restart would mend nothing.
#
# Settings, all from the environment:
#   WATCHDOG_URL       what to ask                        http://127.0.0.1:8025/health
#   WATCHDOG_TIMEOUT   seconds for one answer             5
#   WATCHDOG_FAILURES  failures in a row before a restart 3
#   WATCHDOG_COOLDOWN  seconds between two restarts       600
#   WATCHDOG_RESTART   the command that restarts          systemctl try-restart mailferry (one that was stopped on purpose stays so)
#   WATCHDOG_STATE     folder for counter and lock        /run/mailferry-watchdog as root, else ~/.cache/mailferry-watchdog
#   WATCHDOG_LOG       a file to log to                   empty: logger(1), and standard error where there is none
#
# Exit: 0 healthy (degraded included), or another run is at work; 1 unhealthy; 2 the settings or the state folder cannot be used.

set -u
umask 077
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

url=${WATCHDOG_URL:-http://127.0.0.1:8025/health}
timeout=${WATCHDOG_TIMEOUT:-5}
failures_max=${WATCHDOG_FAILURES:-3}
cooldown=${WATCHDOG_COOLDOWN:-600}
restart=${WATCHDOG_RESTART:-systemctl try-restart mailferry}
log_file=${WATCHDOG_LOG:-}
if [ "$(id -u)" -eq 0 ]; then
    state=${WATCHDOG_STATE:-/run/mailferry-watchdog}
else
    state=${WATCHDOG_STATE:-${HOME:?}/.cache/mailferry-watchdog}
fi

say() { # priority, text
    if [ -n "$log_file" ]; then
        printf '%s mailferry-watchdog %s: %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" "$2" >>"$log_file"
    elif ! logger -t mailferry-watchdog -p "daemon.$1" -- "$2" 2>/dev/null; then
        printf 'mailferry-watchdog %s: %s\n' "$1" "$2" >&2
    fi
}

stop_with() { # text
    say err "$1"
    exit 2
}

number() { # name, value
    case $2 in
    '' | *[!0-9]*) stop_with "$1 must be a whole number, not \"$2\"" ;;
    esac
}

# The HTTP status of the answer; 000 when there was none.
ask() {
    if command -v curl >/dev/null 2>&1; then
        curl --silent --output /dev/null --noproxy '*' --max-time "$timeout" --write-out '%{http_code}' "$url" || :
    else
        # The last status line: a 503 makes wget fail, but it prints the line first.
        status=$(wget --no-proxy --server-response --tries=1 --timeout="$timeout" --output-document=/dev/null "$url" 2>&1 |
            sed -n 's/^ *HTTP\/[0-9.]* \([0-9][0-9][0-9]\).*/\1/p' | tail -n 1)
        printf '%s' "${status:-000}"
    fi
}

read_number() { # file
    value=$(cat "$1" 2>/dev/null)
    case $value in
    '' | *[!0-9]*) value=0 ;;
    esac
    printf '%s' "$value"
}

command -v curl >/dev/null 2>&1 || command -v wget >/dev/null 2>&1 || stop_with "neither curl nor wget is installed"
command -v flock >/dev/null 2>&1 || stop_with "flock is not installed (package util-linux)"
number WATCHDOG_TIMEOUT "$timeout"
number WATCHDOG_FAILURES "$failures_max"
number WATCHDOG_COOLDOWN "$cooldown"
mkdir -p "$state" || stop_with "cannot make $state"

# One run at a time: a restart may take longer than a minute. The kernel lets go of the lock when this process ends, however it ends.
exec 9>"$state/lock" || stop_with "cannot write to $state"
flock -n 9 || exit 0

status=$(ask)
case $status in
200)
    failures=$(read_number "$state/failures")
    [ "$failures" -eq 0 ] || say notice "healthy again after $failures failed checks"
    rm -f "$state/failures"
    exit 0
    ;;
503) what="says that it is down" ;;
000) what="does not answer" ;;
*)
    # Somebody answers, but not as mailferry does: a wrong address or a proxy between. A restart does not mend that.
    say warning "$url answered $status, expected 200 or 503; not restarting"
    exit 1
    ;;
esac

failures=$(($(read_number "$state/failures") + 1))
printf '%s\n' "$failures" >"$state/failures"
say warning "$url $what ($failures in a row, restart at $failures_max)"
[ "$failures" -ge "$failures_max" ] || exit 1

now=$(date +%s)
since=$((now - $(read_number "$state/restarted")))
if [ "$since" -ge 0 ] && [ "$since" -lt "$cooldown" ]; then
    say warning "restarted $since s ago; waiting until $cooldown s have passed"
    exit 1
fi

say err "restarting: $restart"
printf '%s\n' "$now" >"$state/restarted"
rm -f "$state/failures"
# The lock is not handed on (9>&-): a service started by this command must not hold it.
if output=$(sh -c "$restart" 9>&- 2>&1); then
    say notice "restart command succeeded"
else
    say err "restart command failed: $(printf '%s' "$output" | tail -n 3 | tr '\n' ' ')"
fi
exit 1
