"""The one family of errors, each with its exit code.

Law: a message says what happened, where, and what to do next, in one line a person can act on. A target's failure is
never an exception: it is an exchange or an observation. The command line prints ``lameduck: <message>`` and exits with
``exit_code``; anything that is not a `LameduckError` is our own bug and exits with 70.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process's exit code means, for every command."""

    OK = 0
    """Proven, or clean."""
    FAILED = 1
    """Failed, or findings at the threshold."""
    USAGE = 2
    INCONCLUSIVE = 3
    ENVIRONMENT = 4
    """The cluster, a tool or the machine is missing something."""
    BUG = 70
    INTERRUPTED = 130


class LameduckError(Exception):
    """Base of all errors that are for people; `exit_code` says how the process ends."""

    exit_code: ExitCode = ExitCode.BUG


class UsageError(LameduckError):
    """The command line, the configuration or an input file cannot be used as it stands."""

    exit_code = ExitCode.USAGE


class EnvironmentFault(LameduckError):
    """This machine or the cluster lacks something: a command, a port, a right, room on the disk."""

    exit_code = ExitCode.ENVIRONMENT
