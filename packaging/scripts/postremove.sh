#!/bin/sh
# Removing leaves configuration and state; `apt purge` takes them, and the user, too. RPM knows no purge.
set -e
case "${1:-}" in
remove | purge | 0)
    rm -rf /usr/lib/donmai
    rm -f /etc/systemd/system/donmai-daemon.service.d/backoff.conf
    rmdir /etc/systemd/system/donmai-daemon.service.d 2>/dev/null || true
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload || true
    fi
    ;;
esac
if [ "${1:-}" = purge ]; then
    rm -rf /etc/donmai /var/lib/donmai
    if getent passwd donmai >/dev/null; then
        userdel donmai >/dev/null 2>&1 || true
    fi
fi
