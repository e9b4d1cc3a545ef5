"""argv -> control API -> text."""
