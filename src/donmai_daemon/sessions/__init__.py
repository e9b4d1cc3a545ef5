"""Agent sessions on this machine: admission, spawner, details."""
