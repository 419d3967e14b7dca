"""The parts of lameduck that run inside a pod; Python's standard library only."""

__version__ = "0.1.0"
