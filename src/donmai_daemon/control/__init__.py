"""The control API: ASGI on loopback and a unix socket."""
