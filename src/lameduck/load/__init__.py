"""The load engine: open loop, no retries, every exchange kept."""
