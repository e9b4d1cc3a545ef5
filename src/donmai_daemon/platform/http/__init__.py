"""The wire: routes, credentials, limits, and one shape of error."""
