"""Pure: `(document, params) -> result`. No I/O, no clock, no randomness."""
