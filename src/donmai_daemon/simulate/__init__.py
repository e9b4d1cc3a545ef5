"""Machines without a machine: many daemons in one process, made of the daemon's own parts, for trying a platform out."""
