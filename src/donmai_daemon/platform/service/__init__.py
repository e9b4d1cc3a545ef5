"""The rules of the platform: who may do what, and what becomes of it. Nothing here knows of HTTP or SQL."""
