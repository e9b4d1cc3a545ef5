"""donmai-daemon: one machine's heartbeat agent, and the control plane it dials."""

__version__ = "0.1.0"
