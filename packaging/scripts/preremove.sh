#!/bin/sh
# Nothing is stopped for an upgrade: the new version's postinstall restarts the service.
set -e
case "${1:-}" in
remove | 0) ;;
*) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
    systemctl disable --now donmai-daemon.service >/dev/null 2>&1 || true
fi
