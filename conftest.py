"""Makes the repository's root importable, so that tests can share their small worlds (tests.diagnosis.worlds)."""
