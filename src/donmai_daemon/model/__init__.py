"""Data only: wire shapes, the configuration view, records. Nothing here does I/O or imports a sibling package."""
