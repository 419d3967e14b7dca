"""`run` with real processes in real PID namespaces: what dumb-init's and tini's users rely on, and what they miss."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

FORWARDED = ["HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "WINCH", "CONT", "TSTP", "PIPE", "RTMIN+3"]

INSIDE = """
import os, signal, socket, subprocess, time
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
def ask():
    with socket.create_connection(("127.0.0.1", 8081)) as c:
        c.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n")
        head, _, body = b"".join(iter(lambda: c.recv(999), b"")).decode().partition("\\r\\n\\r\\n")
    return head.split()[1] + " " + body.strip()
def until(wanted):
    while (got := ask()) != wanted:
        time.sleep(0.01)
    print(got, flush=True)
print(ask(), flush=True)
server = socket.create_server(("127.0.0.1", 8080))
until("200 ready")
os.kill(os.getppid(), signal.SIGTERM)
until("503 not ready")
"""


def number(name: str) -> int:
    return signal.SIGRTMIN + 3 if name == "RTMIN+3" else int(getattr(signal, f"SIG{name}"))


@pytest.mark.parametrize("pid1", [True, False])
def test_every_signal_reaches_the_command_and_its_exit_code_comes_back(pods, witness, pid1) -> None:
    pod = pods("run", "--", *witness("42"), pid1=pid1)
    pod.word("ready")
    for name in FORWARDED:
        pod.signal(number(name))
        pod.word(f"heard SIG{name}")
    pod.signal(signal.SIGTERM)
    assert pod.wait() == 42
    assert pod.event("exited")["code"] == 42
    assert pod.event("started")["pid1"] is pid1


@pytest.mark.parametrize(
    ("options", "sent", "heard"),
    [
        (["--stop-signal", "QUIT"], "TERM", "SIGQUIT"),
        (["--stop-signal", "SIGWINCH"], "TERM", "SIGWINCH"),
        (["--stop-signal", "QUIT"], "QUIT", "SIGQUIT"),
        (["--forward", "INT=TERM"], "INT", "SIGTERM"),
        (["--forward", "TERM=QUIT"], "TERM", "SIGQUIT"),
        (["--forward", "HUP=USR1", "--forward", "USR1=HUP"], "HUP", "SIGUSR1"),
        (["--forward", "HUP=10"], "HUP", "SIGUSR1"),
    ],
)
def test_signals_are_translated(pods, witness, options, sent, heard) -> None:
    pod = pods("run", *options, "--", *witness("deaf"))
    pod.word("ready")
    pod.signal(number(sent))
    pod.word("heard")
    assert pod.words == ["ready", f"heard {heard}"]


def test_a_signal_that_is_mapped_to_0_is_dropped(pods, witness) -> None:
    pod = pods("run", "--forward", "TERM=0", "--forward", "HUP=0", "--", *witness("3"))
    pod.word("ready")
    pod.signal(signal.SIGHUP)
    pod.signal(signal.SIGTERM)
    pod.until(lambda: [e["message"] for e in pod.journal if "dropped" in e["message"]][1:])
    pod.signal(signal.SIGUSR1)
    pod.word("heard")
    assert pod.words == ["ready", "heard SIGUSR1"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "exit 255"], 255),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["sh", "-c", "kill -SEGV $$"], 139),
        (["sh", "-c", "kill -TERM $$"], 143),
    ],
)
def test_the_exit_code_is_the_commands_own(pods, command, code) -> None:
    pod = pods("run", "--", *command)
    assert pod.wait() == code
    assert "not asked to" in pod.event("exited")["message"]


def test_an_exit_code_can_be_mapped_and_that_is_said(pods, witness) -> None:
    pod = pods("run", "--exit-code-map", "143=0", "--", "sleep", "60")
    pod.event("started")
    pod.signal(signal.SIGTERM)
    assert pod.wait() == 0
    assert "exit code 143 becomes 0" in pod.event("exited")["message"]


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (lambda _: "no-such-program", 127, "nowhere in PATH"),
        (lambda _: "/no/such/program", 127, "there is no such file"),
        (lambda _: "sleep 60", 127, "a whole command line in one word?"),
        (lambda _: "", 127, "empty word"),
        (lambda script: script("true\n", mode=0o644), 126, "not executable"),
        (lambda script: script("true\n", first=""), 126, "needs a #! line"),
        (lambda script: script("true\n", first="#!/no/such/shell\n"), 126, "/no/such/shell, which is not there"),
        (lambda script: script("true\r\n", first="#!/bin/sh\r\n"), 126, "CR LF"),
        (lambda _: "/", 126, "is a directory"),
    ],
)
def test_a_command_that_cannot_start_is_explained(pods, script, make, code, says) -> None:
    pod = pods("run", "--", make(script), pid1=False)
    assert pod.wait() == code
    assert says in pod.event("not_started")["message"]
    assert pod.events() == ["not_started"]


def test_a_stop_signal_that_came_before_the_command_means_it_is_never_started(pods) -> None:
    def pending_before_exec() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        os.kill(os.getpid(), signal.SIGTERM)

    pod = pods("run", "--", "echo", "started", pid1=False, preexec_fn=pending_before_exec)
    assert pod.wait() == 143
    assert pod.words == []
    assert "before the command was started" in pod.event("stop_signal")["message"]


def blocks(pid: int, number: int) -> bool:
    """Whether it is already us (before, it is `unshare`, which blocks signals as well) and blocks a signal."""
    if not Path(f"/proc/{pid}/cmdline").read_text().startswith(sys.executable):
        return False
    return bool(
        int(Path(f"/proc/{pid}/status").read_text().partition("SigBlk:\t")[2].split()[0], 16) & 1 << (number - 1)
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_from_the_moment_signals_are_blocked_none_is_lost(pods, witness, number) -> None:
    """C87: as PID 1, a signal without a handler is dropped by the kernel; one that is blocked never is."""
    for _ in range(8):
        pod = pods("run", "--", *witness("0"))
        while not (pod.journal or blocks(pod.pid, number)):
            pass
        pod.signal(number)
        pod.until(lambda pod=pod: pod.words[-1:] == ["heard SIGHUP"] or pod.process.poll() is not None, number)
        if number == signal.SIGTERM:
            assert pod.wait() in (0, 143)
            assert "stop_signal" in pod.events()


@pytest.mark.parametrize("after_ms", [100, 500])
def test_a_stop_signal_during_a_boot_script_ends_the_container_at_once(pods, script, after_ms) -> None:
    """C87: bash as PID 1 would have lost it and served on until SIGKILL."""
    pod = pods("run", "--", "bash", script("sleep 60\nexec sleep 60\n"))
    pod.event("started")
    time.sleep(after_ms / 1000)  # the case's own times
    pod.signal(signal.SIGTERM)
    assert pod.wait() == 143, "long before the script's first step is over"


def test_orphans_are_reaped(pods) -> None:
    orphan = "$(sleep {} > /dev/null & echo $!)"
    gone = "while kill -0 $1 2> /dev/null || kill -0 $2 2> /dev/null; do sleep 0.05; done"  # a zombie is still there
    pod = pods("run", "--", "sh", "-c", f"set -- {orphan.format(0.05)} {orphan.format(0.1)}; {gone}; echo reaped")
    pod.word("reaped")
    assert pod.wait() == 0
    assert pod.words == ["reaped"]


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_thousands_of_orphans_are_reaped(pods) -> None:
    pod = pods("run", "--", "sh", "-c", "i=0; while [ $i -lt 3000 ]; do (: &); i=$((i+1)); done; echo made; sleep 60")
    pod.until(lambda: pod.words, "made")
    pod.until(lambda: len(children(pod.pid)) == 1, "nothing but the command left")
    pod.signal(signal.SIGTERM)
    assert pod.wait() == 143


def test_below_another_pid_1_orphans_come_to_us_too(pods) -> None:
    pod = pods("run", "--", "sh", "-c", "(sleep 60 &); exit 5", pid1=False)
    assert pod.wait() == 5
    assert "1 process left behind" in pod.event("leftovers")["message"]


def test_after_a_short_command_its_helper_is_told_and_waited_for(pods, script) -> None:
    """C89: dumb-init kills it at once, tini does not even tell it."""
    helper = script("trap 'sleep 0.3; echo drained; exit 0' TERM\necho up > $1\nwhile :; do sleep 0.05; done\n")
    main = script("mkfifo $1\n$2 $1 &\nread x < $1\nexit 9\n")
    pod = pods("run", "--", main, main + ".fifo", helper)
    assert pod.wait() == 9
    assert pod.words == ["drained"]
    assert pod.events() == ["started", "exited", "leftovers"]


def test_a_server_left_behind_gets_the_stop_signal_that_it_understands(pods, script) -> None:
    code = (
        "import os, signal, sys, time; say = lambda word: (os.write(1, word), os._exit(0))\n"
        "signal.signal(signal.SIGTERM, lambda *_: say(b'cut\\n'))\n"
        "signal.signal(signal.SIGQUIT, lambda *_: say(b'drained\\n'))\n"
        "open(sys.argv[1], 'w').close()\nwhile True: time.sleep(0.05)"
    )
    main = script('mkfifo $1\n$2 -c "$3" $1 &\nsleep 60 &\nread x < $1\nexit 9\n')
    pod = pods("run", "--stop-signal", "QUIT", "--", main, main + ".fifo", sys.executable, code)
    assert pod.wait() == 9, "and nothing waits for the sleep, which a shell started with SIGQUIT ignored"
    assert pod.words == ["drained"]


@pytest.mark.parametrize(
    ("stop", "before", "ignored"), [("QUIT", "", True), ("QUIT", "exec", False), ("TERM", "trap '' TERM;", True)]
)
def test_a_command_that_ignores_the_stop_signal_is_told_of(pods, stop, before, ignored) -> None:
    sleeper = "import signal, time; signal.signal(signal.SIGUSR2, lambda *_: 0); print(1, flush=True); time.sleep(60)"
    code = f"trap 'exit 0' USR1; {before} {sys.executable} -c '{sleeper}'; true"
    pod = pods("run", "--stop-signal", stop, "--grace", "3", "--", "bash", "-c", code)
    pod.until(lambda: pod.words, "the command's word")
    pod.signal(signal.SIGTERM)
    assert pod.wait() == (137 if ignored else 131)
    assert ("warning" in pod.events()) == ignored
    if ignored:
        assert f"the command (bash) ignores SIG{stop}" in pod.event("warning")["message"]


def test_a_helper_that_does_not_end_is_killed_after_its_time_and_named(pods, script) -> None:
    helper = script("trap '' TERM\necho up > $1\nwhile :; do sleep 0.05; done\n")
    main = script("mkfifo $1\n$2 $1 &\nread x < $1\nexit 9\n")
    pod = pods("run", "--leftovers", "300ms", "--", main, main + ".fifo", helper)
    assert pod.wait() == 9
    assert helper.rpartition("/")[2] in pod.event("killed")["message"]


def test_a_grandchild_is_told_once_its_parent_is_gone(pods, script) -> None:
    """A master gets the time to stop its workers itself; whom it forgets is told then."""
    worker = script("trap 'echo worker told; exit 0' TERM\necho up > $1\nwhile :; do sleep 0.02; done\n")
    master = script("trap 'echo master told; exit 0' TERM\n$2 $1 &\nwhile :; do sleep 0.02; done\n")
    main = script("mkfifo $1\n$2 $1 $3 &\nread x < $1\nexit 0\n")
    pod = pods("run", "--", main, main + ".fifo", master, worker)
    assert pod.wait() == 0
    assert pod.words == ["master told", "worker told"]


def test_the_command_alone_is_told_and_its_whole_group_only_when_asked(pods, script, witness) -> None:
    main = script('trap "echo main told" TERM\n"$@" &\nwait $!\nwait $!\nexit 0\n')
    alone = pods("run", "--", main, *witness("deaf"))
    alone.word("ready")
    alone.signal(signal.SIGTERM)
    alone.word("main told")
    together = pods("run", "--group", "--", main, *witness("0"))
    together.word("ready")
    together.signal(signal.SIGTERM)
    assert together.wait() == 0
    assert sorted(together.words) == ["heard SIGTERM", "main told", "ready"]
    assert "heard SIGTERM" not in alone.words


def test_a_command_that_outlives_the_grace_period_is_killed_by_us_with_its_name(pods, witness) -> None:
    pod = pods("run", "--grace", "1.5", "--margin", "1", "--", *witness("deaf"))
    pod.word("ready")
    pod.signal(signal.SIGTERM)
    assert pod.wait() == 137
    assert pod.events() == ["started", "stop_signal", "forwarded", "killed", "exited"]
    late = r"still running (0\.[5-9]\d*|[1-9][\d.]*) s after the stop signal, 1 s before the kubelet's own"
    assert re.search(late, pod.event("killed")["message"])
    assert "witness.py" in pod.event("killed")["processes"][0]


def test_the_kill_message_says_which_connections_were_still_held(pods, tmp_path) -> None:
    server = tmp_path / "server.py"
    server.write_text(
        "import signal, socket, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "s = socket.create_server(('127.0.0.1', 0))\n"
        "c = socket.create_connection(s.getsockname()); d, _ = s.accept(); c.send(b'GET /slow')\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    pod = pods("run", "--grace", "0.3", "--margin", "0", "--", sys.executable, "-S", str(server))
    pod.word("ready")
    pod.signal(signal.SIGTERM)
    assert pod.wait() == 137
    assert "2 connections, 1 busy (oldest: 127.0.0.1:" in pod.event("killed")["message"]
    assert "unread request" in pod.event("killed")["message"]


def test_a_delay_lets_the_command_serve_on_with_readiness_gone(pods, witness, tmp_path) -> None:
    ready = tmp_path / "ready"
    pod = pods("run", "--delay", "60", "--ready-file", str(ready), "--", *witness("0"))
    pod.word("ready")
    pod.until(ready.exists, "the readiness file")
    pod.signal(signal.SIGTERM)
    pod.event("stop_signal")
    pod.until(lambda: not ready.exists(), "its end")
    time.sleep(0.2)  # long enough for a signal that comes too early
    assert pod.words == ["ready"]


def test_when_the_delay_is_over_the_command_is_told(pods, witness) -> None:
    pod = pods("run", "--delay", "400ms", "--", *witness("0"))
    pod.word("ready")
    start = time.monotonic()
    pod.signal(signal.SIGTERM)
    assert pod.wait() == 0
    assert time.monotonic() - start > 0.4
    assert "the delay of 400" not in str(pod)
    assert pod.event("forwarded")["waited_s"] >= 0.4


def test_a_second_stop_signal_ends_the_delay(pods, witness) -> None:
    pod = pods("run", "--delay", "60", "--", *witness("0"))
    pod.word("ready")
    pod.signal(signal.SIGTERM)
    pod.event("stop_signal")
    pod.signal(signal.SIGTERM)
    assert pod.wait() == 0
    assert "a second stop signal came (SIGTERM)" in pod.event("forwarded")["message"]


def test_signals_that_are_no_stop_pass_during_the_delay(pods, witness) -> None:
    pod = pods("run", "--delay", "60", "--", *witness("0"))
    pod.word("ready")
    pod.signal(signal.SIGTERM)
    pod.event("stop_signal")
    pod.signal(signal.SIGHUP)
    pod.word("heard SIGHUP")
    assert pod.words == ["ready", "heard SIGHUP"]


def test_the_sender_of_the_stop_signal_is_named(pods, witness) -> None:
    outside = pods("run", "--", *witness("0"))
    outside.word("ready")
    outside.signal(signal.SIGTERM)
    outside.wait()
    assert outside.event("stop_signal")["sender"] == "outside the container"
    inside = pods("run", "--", "sh", "-c", "kill -TERM $PPID; sleep 60")
    inside.wait()
    assert inside.event("stop_signal")["sender"].endswith("(sh)")


def block_all() -> None:
    """As `env --block-signal` does."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


@pytest.mark.parametrize("before", [None, block_all])
def test_the_command_gets_sigpipe_back_and_no_signal_blocked(pods, before) -> None:
    pod = pods("run", "--", "grep", "-E", "SigBlk|SigIgn", "/proc/self/status", pid1=False, preexec_fn=before)
    assert pod.wait() == 0
    glibc = (
        1 << 31 | 1 << 32
    )  # its own two real-time signals, which posix_spawn leaves ignored and every libc sets anew
    blocked, ignored = (int(line.split()[1], 16) & ~glibc for line in pod.words)
    assert (blocked, ignored) == (0, 0)


def test_started_with_all_signals_blocked_it_loses_none(pods) -> None:
    """C87 at 0 ms: what comes before the interpreter runs stays pending over `execve`."""

    def one_comes() -> None:
        block_all()
        os.kill(os.getpid(), signal.SIGHUP)

    assert pods("run", "--", "sleep", "60", pid1=False, preexec_fn=one_comes).wait() == 128 + signal.SIGHUP


def test_an_idle_pod_costs_no_wake_ups(pods, witness) -> None:
    pod = pods("run", "--grace", "30", "--until-quiet", "--", *witness("0"))
    pod.word("ready")
    status = Path(f"/proc/{pod.pid}/status")

    def switches() -> list[str]:
        return [line for line in status.read_text().splitlines() if "ctxt_switches" in line]

    pod.until(lambda: "S (sleeping)" in status.read_text(), "sleep")
    for _ in range(5):  # what it still had to do at its start may come late
        before = switches()
        time.sleep(1.1)  # tini wakes once a second
        if switches() == before:
            return
    raise AssertionError("it wakes again and again")


def test_a_readiness_port_says_yes_when_the_command_listens_and_no_after_the_stop_signal(
    pods, script, own_network
) -> None:
    """In a network namespace of its own: the ports are fixed."""
    inside = script(INSIDE, first=f"#!{sys.executable} -S\n")
    pod = pods("run", "--port", "8080", "--ready-port", "8081", "--delay", "60", "--", inside, below=own_network)
    pod.wait()
    assert pod.words == ["503 not ready", "200 ready", "503 not ready"]
    assert pod.event("ready")["message"].endswith("listens on 8080")


def test_usage_errors_are_one_sentence_and_exit_2(pods) -> None:
    for argv, says in [
        (["run"], "there is no command to run"),
        (["run", "--dely", "3", "--", "true"], "did you mean --delay?"),
        (["run", "--delay", "soon", "--", "true"], "'soon' is not a time"),
        (["run", "--delay", "3", "--until-quiet", "--", "true"], "choose one"),
        (["run", "--stop-signal", "STOPP", "--", "true"], "'STOPP' is not a signal"),
        (["run", "--stop-signal", "QUIT", "--forward", "TERM=INT", "--", "true"], "contradict each other"),
        (["run", "--grace", "5", "--until-quiet", "--", "true"], "leaves no time to drain"),
        (["run", "--grace", "/no/file", "--", "true"], "cannot be read"),
        (["run", "--ready-file", "/no/folder/ready", "--", "true"], "there is no folder /no/folder"),
        (["run", "--exit-code-map", "143", "--", "true"], "143=0"),
        (["drain", "--port", "http"], "'http' is not a port"),
        (["drain", "--listen", "9190"], "needs --token"),
        (["drian"], "there is no command 'drian'"),
    ]:
        pod = pods(*argv, pid1=False)
        assert pod.wait() == 2, argv
        assert says in pod.other[0], argv
        assert len(pod.other) <= 2
