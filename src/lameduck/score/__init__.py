"""Asks a server on raw sockets what it does when it is told to stop, with neither cluster nor rollout."""
