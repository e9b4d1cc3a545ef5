"""The scaled store: PostgreSQL for what is on record, Redis for the queue, and any number of processes that serve."""
