"""Durable and blocking: atomic replacement, the configuration file, the SQLite journal, locks.

Everything in this package blocks and is called from the one store thread (see `runtime`)."""
