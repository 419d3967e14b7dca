"""How often is a stop signal lost that comes in the first milliseconds of PID 1? (Case C87.)

    bench/pod_early.py [--times N]

Starts a command as PID 1 of a fresh PID namespace, N times for each moment and each way of starting, and sends SIGTERM
from outside so many ms after PID 1's `execve`. *Lost*: the command's child still runs a second later. PID 1 waits in a
pipe before its `execve`, so that the moment is known to some 0.1 ms.
"""

import argparse
import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path

POD = Path(__file__).parents[1] / "pod" / "src"
PYTHON = sys.executable
RUN = ["run", "--journal", "none", "--"]
CHILD = ["sleep", "2"]
ENV = ["env", "--block-signal"]
ZIPAPP = "/tmp/lameduck-early.pyz"
WAYS = {
    "bash script": ["bash", "-c", "sleep 0.2; exec sleep 2"],
    "python -m": [PYTHON, "-m", "lameduck_pod", *RUN, *CHILD],
    "python -IS, one file": [PYTHON, "-IS", ZIPAPP, *RUN, *CHILD],
    "env --block-signal, python -m": [*ENV, PYTHON, "-m", "lameduck_pod", *RUN, *CHILD],
    "env --block-signal, one file": [*ENV, PYTHON, "-IS", ZIPAPP, *RUN, *CHILD],
}
MOMENTS = (0, 0.5, 1, 2, 4, 6, 8, 10, 12, 15, 20, 30)
CLONE_NEWPID = 0x20000000


def once(argv, after):
    """Whether a SIGTERM `after` s after the execve was lost."""
    libc = ctypes.CDLL(None, use_errno=True)
    gate, opener = os.pipe()
    said, sayer = os.pipe()
    middle = os.fork()
    if not middle:
        if libc.unshare(CLONE_NEWPID):
            os._exit(1)
        first = os.fork()
        if not first:
            os.close(opener)
            os.read(gate, 1)
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            os.execvpe(argv[0], argv, {**os.environ, "PYTHONPATH": str(POD)})
        os.write(sayer, b"%d\n" % first)
        os.close(opener)
        os.waitpid(first, 0)
        os._exit(0)
    pid = int(os.read(said, 99))
    watched = os.pidfd_open(pid)
    os.write(opener, b"x")
    while b"python" in (name := Path(f"/proc/{pid}/cmdline").read_bytes()) and b"pod_early" in name:
        pass  # until its execve
    end = time.perf_counter() + after
    while time.perf_counter() < end:
        pass
    os.kill(pid, signal.SIGTERM)
    ended = bool(select.select([watched], [], [], 1)[0])
    if not ended:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(middle, 0)
    for fd in (gate, opener, said, sayer, watched):
        os.close(fd)
    return not ended


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--times", type=int, default=20)
    times = p.parse_args().times
    os.system(f"{Path(__file__).parents[1]}/scripts/zipapp {ZIPAPP} 2>/dev/null")
    print(f"lost of {times}, by ms after the execve of PID 1; Python {sys.version.split()[0]}")
    print(f"{'':<32}" + "".join(f"{ms:>5g}" for ms in MOMENTS))
    for name, argv in WAYS.items():
        lost = [sum(once(argv, ms / 1000) for _ in range(times)) for ms in MOMENTS]
        print(f"{name:<32}" + "".join(f"{n:>5}" for n in lost), flush=True)
    Path(ZIPAPP).unlink()


if __name__ == "__main__":
    main()
