"""Finds the command inside a wrapper's command line: ``gosu app server -p 80`` runs ``server -p 80``.

Law: options are skipped as the wrapper itself reads them; where that cannot be told, there is no inner command, and
the chain says unknown.
"""

from __future__ import annotations

import re
import shlex

from lameduck.manifests.programs import SHELLS, WRAPPERS, base, server_of

MAX_DEPTH = 16
_PYTHON = re.compile(r"python[\d.]*\Z")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_RUNNERS = {"uv": "run", "poetry": "run", "pipenv": "run", "bundle": "exec", "chamber": "exec", "doppler": "run"}
_RUNNER_VALUED = {
    "--with",
    "--python",
    "-p",
    "--env-file",
    "--group",
    "--extra",
    "--project",
    "-P",
    "-C",
    "--directory",
}
_CONDA_VALUED = {"-n", "--name", "-p", "--prefix", "--cwd"}


def plainly(argv: tuple[str, ...]) -> tuple[str, ...]:
    """``python3 /lameduck-pod.pyz run`` and ``python -m lameduck_pod run`` as ``lameduck-pod run``; else as it is."""
    words = list(argv)
    if _PYTHON.match(base(words[0])):
        words.pop(0)
        while words and words[0].startswith("-") and words[0] != "-m":
            words.pop(0)
        if words[:2] == ["-m", "lameduck_pod"]:
            return ("lameduck-pod", *words[2:])
    if words and base(words[0]) == "lameduck-pod.pyz":
        return ("lameduck-pod", *words[1:])
    return argv


def inner(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The command that a wrapper runs; () when there is none or it cannot be told."""
    argv = plainly(argv)
    name = base(argv[0])
    if name == "lameduck-pod":
        return _plain_options(argv[2:], WRAPPERS[name].valued) if argv[1:2] == ("run",) else ()
    if name in {"su", "runuser"}:
        return _su(argv)
    if name == "script":
        return _after_c(argv)
    if name in _RUNNERS:
        return _runner(argv, _RUNNERS[name])
    if name in {"conda", "mamba", "micromamba"}:
        return _plain_options(argv[argv.index("run") + 1 :], _CONDA_VALUED) if "run" in argv else ()
    wrapper = WRAPPERS.get(name)
    if wrapper is None:
        return ()
    rest = list(_plain_options(argv[1:], wrapper.valued))
    if name == "env":
        while rest and _ASSIGNMENT.match(rest[0]):
            rest.pop(0)
    if name == "flock" and "-c" in argv:
        return _after_c(argv)
    return tuple(rest[wrapper.skip :])


def innermost(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The command below all of its wrappers; the command line itself where there is none, or a server was reached."""
    for _ in range(MAX_DEPTH):
        inside = inner(argv) if argv else ()
        if not inside or server_of(argv) is not None:
            return argv
        argv = inside
    return argv


def _plain_options(words: tuple[str, ...], valued: frozenset[str] | set[str]) -> tuple[str, ...]:
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        if words[at] == "--":
            at += 1
            break
        at += 2 if words[at] in valued else 1
    return words[at:]


def _su(argv: tuple[str, ...]) -> tuple[str, ...]:
    code = _after_c(argv)
    if code:
        return code
    if base(argv[0]) == "runuser" and "-u" in argv:
        rest = argv[argv.index("-u") + 2 :]
        return rest[1:] if rest[:1] == ("--",) else rest
    return ()


def _after_c(argv: tuple[str, ...]) -> tuple[str, ...]:
    for index, word in enumerate(argv[1:-1], 1):
        if word in {"-c", "--command", "-qc", "-lc", "-qec"}:
            return ("sh", "-c", argv[index + 1])
        if word.startswith("--command="):
            return ("sh", "-c", word.partition("=")[2])
    return ()


def _runner(argv: tuple[str, ...], word: str) -> tuple[str, ...]:
    if word not in argv:
        return ()
    return _plain_options(argv[argv.index(word) + 1 :], _RUNNER_VALUED)


def shell_code(argv: tuple[str, ...]) -> tuple[str, str, tuple[str, ...]] | None:
    """For ``sh -c CODE NAME ARGS``: the shell's name, the code, and the arguments behind $0; None for anything else."""
    if not argv or base(argv[0]) not in SHELLS:
        return None
    words, name = list(argv[1:]), base(argv[0])
    if name == "busybox" and words and base(words[0]) in SHELLS:
        name = "ash"
        words.pop(0)
    at, command = 0, False
    while at < len(words) and words[at].startswith(("-", "+")) and len(words[at]) > 1:
        if words[at] in {"-o", "+o", "-O", "+O", "--rcfile", "--init-file"}:
            at += 2
            continue
        if not words[at].startswith("--") and "c" in words[at][1:] and words[at][0] == "-":
            command = True
        if (
            words[at].startswith("-")
            and not words[at].startswith("--")
            and words[at].endswith("o")
            and len(words[at]) > 2
        ):
            at += 1
        at += 1
    if command and at < len(words):
        return name, words[at], tuple(words[at + 2 :])
    return None


def script_argument(argv: tuple[str, ...]) -> tuple[str, str, tuple[str, ...]] | None:
    """For ``bash -e /start.sh ARGS``: the shell's name, the script's path, its arguments; None for anything else."""
    if not argv or base(argv[0]) not in SHELLS or shell_code(argv) is not None:
        return None
    words, name = list(argv[1:]), base(argv[0])
    if name == "busybox" and words and base(words[0]) in SHELLS:
        name = "ash"
        words.pop(0)
    at = 0
    while at < len(words) and words[at].startswith(("-", "+")) and len(words[at]) > 1:
        at += 2 if words[at] in {"-o", "+o", "-O", "+O", "-eo", "-euo", "-exo", "-euxo"} else 1
    if at < len(words):
        return name, words[at], tuple(words[at + 1 :])
    return None


def split(code: str) -> tuple[str, ...] | None:
    """The words of a shell command that needs no shell; None where it uses shell syntax."""
    if re.search(r"[$`|&;<>(){}*?\[\]~#!\n\\]", code) or re.match(r"\s*[A-Za-z_]\w*=", code):
        return None
    try:
        words = tuple(shlex.split(code))
    except ValueError:
        return None
    return words if words and base(words[0]) not in {"exec", "cd", "export", "source", ".", "set", "ulimit"} else None
