#!/bin/sh
# Debian calls it with "configure" and the version before, RPM with the number of versions that are installed then.
set -e

case "${1:-}" in
configure) [ -z "${2:-}" ] && first=yes || first=no ;;
abort-*) exit 0 ;;
1) first=yes ;;
*) first=no ;;
esac

if ! getent passwd donmai >/dev/null; then
    useradd --system --user-group --home-dir /var/lib/donmai --no-create-home --shell /usr/sbin/nologin \
        --comment "donmai heartbeat agent" donmai
fi

# The daemon replaces its own configuration file, so the directory is writable for its group.
if [ ! -d /etc/donmai ]; then
    install -d -m 2770 -o root -g donmai /etc/donmai
fi
if [ ! -e /etc/donmai/daemon.toml ] && [ ! -L /etc/donmai/daemon.toml ]; then
    install -m 0640 -o donmai -g donmai /usr/share/donmai/daemon.toml /etc/donmai/daemon.toml
fi

[ -d /run/systemd/system ] || exit 0

# Waits that grow between restarts need systemd 254; an older one would warn of it at every start.
version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
if [ "${version:-0}" -ge 254 ]; then
    install -D -m 0644 /usr/share/donmai/backoff.conf /etc/systemd/system/donmai-daemon.service.d/backoff.conf
fi

systemctl daemon-reload
if [ "$first" = yes ]; then
    systemctl enable donmai-daemon.service >/dev/null 2>&1 || true
    systemctl start donmai-daemon.service || true
else
    # Not waited for: the old one lets its sessions end first.
    systemctl try-restart --no-block donmai-daemon.service || true
fi
