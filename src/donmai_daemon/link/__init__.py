"""Outbound network: the platform client, retry delays, credentials."""
