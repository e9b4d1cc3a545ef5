"""The daemon at work: heartbeat loop, applier, watcher, state."""
