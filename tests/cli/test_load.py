"""`lameduck load` as its users run it: a process, against a server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import pytest
from tests.load.conftest import Authority, authority
from tests.load.servers import ANSWER, Behaviour, Peer, Server, hold, says, well_behaved

from lameduck.cli.load import parse_url
from lameduck.core.errors import UsageError

__all__ = ["authority"]

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "load-schema.json").read_text())


@contextmanager
def serving(behaviour: Behaviour, **options: object) -> Iterator[int]:
    """A server in a thread of its own; yields its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = Server(behaviour, **options)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
    try:
        yield server.port
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "lameduck", "load", *map(str, words)]


def load(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Its output; again where this machine stood still so long that requests were not sent, or had no time to end."""
    for _ in range(3):
        done = subprocess.run(
            command(*words), capture_output=True, text=True, timeout=90, check=False, env=os.environ | environment
        )
        if not re.search(r'could not be sent|"(not_sent|timeouts_in_own_stalls)": [1-9]', done.stdout):
            break
    return done


def results(*words: object, code: int = 0, **environment: str) -> dict[str, object]:
    done = load(*words, "--json", "-", "--quiet", **environment)
    assert done.stderr == ""
    found = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    if code == 0 and not found["validity"]["kept_the_plan"]:  # a busy machine: what was sent was sent late
        code = 3
    assert done.returncode == code
    return found


def test_a_clean_run_says_so_and_exits_with_0() -> None:
    with serving(well_behaved) as port:
        done = load(f"http://127.0.0.1:{port}/a", "--qps", 200, "--duration", "1s")
    assert done.returncode == 0 or "did not keep the plan: a late start" in done.stdout
    assert "none of 200 requests failed" in done.stdout
    assert f"GET http://127.0.0.1:{port}/a" in done.stdout
    assert "kept alive" in done.stdout


def test_the_results_as_json_have_every_request() -> None:
    with serving(well_behaved) as port:
        found = results(f"127.0.0.1:{port}", "--qps", 200, "--duration", "1500ms")
    assert (found["requests"], found["failed"], found["failures_by_kind"]) == (300, 0, {})
    assert found["requests_by_lane"]["new"] == pytest.approx(150, abs=3)
    assert found["statuses"] == {"200": 300}
    assert found["served_by"] == {"a": 300}
    assert found["response_time_ms"]["n"] == 300
    assert [second["asked"] for second in found["rate"]["per_second"]] == [200, 100]
    assert found["rate"]["achieved"] == 200


def test_failures_are_counted_by_kind_stage_and_lane_and_exit_with_1() -> None:
    with serving(says(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")) as port:
        found = results(f"127.0.0.1:{port}", "--qps", 100, "--duration", "1s", code=1)
        done = load(f"127.0.0.1:{port}", "--qps", 100, "--duration", "1s")
    assert found["failed"] == 100
    assert found["failures_by_kind"] == {"bad_status": 100}
    assert found["failures_by_stage"] == {"validate": 100}
    assert sum(found["failures_by_lane"].values()) == 100
    assert "100 of 100 requests failed" in done.stdout
    assert "answered 503" in done.stdout


def test_several_workers_send_one_plan_together() -> None:
    with serving(well_behaved) as port:
        found = results(f"127.0.0.1:{port}", "--qps", 200, "--duration", "1s", "--workers", 3)
    assert (found["requests"], found["failed"]) == (200, 0)
    (second,) = found["rate"]["per_second"]
    assert (second["asked"], second["failed"]) == (200, 0)
    assert second["sent"] > 190 or not found["validity"]["kept_the_plan"]  # what is late is sent in the next


async def expects(peer: Peer) -> None:
    while head := await peer.request():
        body = await peer.reader.readexactly(3)
        good = body == b"abc" and b"X-Token: s3cret" in head and b"Host: other\r\n" in head and b"POST /p?q=1 " in head
        text = b'{"good": [' + (b"true" if good else b"false") + b"]}"
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))


def test_what_is_asked_for_is_sent_and_what_is_expected_is_held_against_the_answer(tmp_path: Path) -> None:
    (tmp_path / "body").write_text("abc")
    words = ["--qps", 20, "--duration", "1s", "--body", f"@{tmp_path}/body", "--host", "other"]
    words += ["--header-env", "X-Token=TOKEN"]
    with serving(expects) as port:
        url = f"127.0.0.1:{port}/p?q=1"
        found = results(url, *words, "--expect-body", "/good/0=true", TOKEN="s3cret")
        assert "s3cret" not in json.dumps(found)
        found = results(url, *words, "--expect-body", "/good/0=true", TOKEN="wrong", code=1)
        assert found["failures_by_kind"] == {"bad_body": 20}


def test_tls_needs_trust(authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    words = ["--qps", 20, "--duration", "500ms"]
    with serving(well_behaved, ssl=context) as port:
        url = f"https://127.0.0.1:{port}"
        assert results(url, *words, "--cacert", authority.certificate)["failed"] == 0
        assert results(url, *words, "--insecure")["failed"] == 0
        found = results(url, *words, code=1)
        assert found["failures_by_stage"] == {"tls": 10}
        named = results(url, *words, "--cacert", authority.certificate, "--server-name", "other", code=1)
        assert "Hostname mismatch" in named["failures"][0]["detail"]


def test_a_rate_beyond_the_machine_exits_with_3_and_says_what_was_not_kept() -> None:
    with serving(well_behaved) as port:
        words = command(f"127.0.0.1:{port}", "--qps", 200_000, "--duration", "100ms", "--lanes", "reuse")
        done = subprocess.run([*words, "--timeout", "20s"], capture_output=True, text=True, timeout=90, check=False)
    # On a machine that is busy besides, the server may be overrun too: what it lost is then said first.
    assert done.returncode == (3 if done.stdout.lstrip().startswith("none of") else 1), done.stdout + done.stderr
    assert "the engine did not keep the plan" in done.stdout


class Counting:
    """A well-behaved server that a test can wait for: until it has been asked."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)

    async def __call__(self, peer: Peer) -> None:
        while await peer.request():
            self.asked.release()
            peer.say(ANSWER)

    def until(self, requests: int) -> None:
        assert all(self.asked.acquire(timeout=60) for _ in range(requests))


def test_ctrl_c_ends_the_arrivals_and_the_results_are_kept() -> None:
    server = Counting()
    with serving(server) as port:
        words = command(f"127.0.0.1:{port}", "--qps", 100, "--duration", "1m", "--json", "-", "--quiet")
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
            server.until(50)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole group
            out, _ = process.communicate(timeout=40)
    assert process.returncode == 130
    found = json.loads(out)
    assert 50 <= found["requests"] <= 4500, "of 6000 in the whole minute"
    assert found["failed"] == 0


def test_workers_end_when_their_parent_was_killed() -> None:
    server = Counting()
    with serving(server) as port:
        words = command(f"127.0.0.1:{port}", "--qps", 100, "--duration", "1m", "--quiet")
        with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
            server.until(20)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            process.kill()
            process.wait()
            assert len(children) == 1
            readable, _, _ = select.select([process.stdout], [], [], 30)
            assert readable, "a worker still holds its parent's output"
            assert process.stdout.read() == b""


@pytest.mark.parametrize(
    ("words", "code", "says_so"),
    [
        (["ftp://x/"], 2, "lameduck speaks http:// and https://"),
        (["http://"], 2, "names no host"),
        (["http://x:99999/"], 2, "is not a URL"),
        (["http://me:secret@x/"], 2, "--header-env"),
        (["http://x/", "--cacert", "f"], 2, "--cacert needs an https:// URL"),
        (["https://x/", "--cacert", "/none"], 4, "cannot use /none as certificate authority"),
        (["http://x/", "--qps", "fast"], 2, "is not a rate"),
        (["http://x/", "--lanes", "old"], 2, "is not a lane"),
        (["http://x/", "--header-env", "A=UNSET_VARIABLE"], 2, "UNSET_VARIABLE, which is not set"),
        (["http://x/", "--expect-body", "/(/"], 2, "is not a regular expression"),
        (["http://x/", "--body", "@/none"], 2, "cannot read the body from /none"),
        (["http://x/", "--json", "/none/file"], 4, "cannot write /none/file"),
        (["http://name.invalid/"], 4, "cannot resolve name.invalid"),
        (["http://x/", "--unknown"], 2, "unrecognized arguments: --unknown"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(words: list[str], code: int, says_so: str) -> None:
    done = load(*words)
    assert done.returncode == code
    assert says_so in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "url", "authority"),
    [
        ("localhost", "http://localhost/", "localhost"),
        ("http://h:80/a?b=c d", "http://h/a?b=c%20d", "h"),
        ("https://h:443", "https://h/", "h"),
        ("https://h:80/", "https://h:80/", "h:80"),
        ("http://[::1]:8080/", "http://[::1]:8080/", "[::1]:8080"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("http://h/a#part", "http://h/a", "h"),
    ],
)
def test_a_url_is_taken_apart(text: str, url: str, authority: str) -> None:
    target = parse_url(text)
    assert (target.url, target.authority) == (url, authority)


def test_a_path_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(UsageError):
        parse_url("http://h:x/")


def test_time_outs_are_failures() -> None:
    with serving(says(then=hold)) as port:
        found = results(f"127.0.0.1:{port}", "--qps", 20, "--duration", "500ms", "--timeout", "300ms", code=1)
    assert found["failures_by_kind"] == {"timeout": 10}
    assert found["response_time_ms"]["n"] == 0
    assert found["response_time_ms"]["p50"] is None


def test_a_server_that_says_close_is_obeyed() -> None:
    async def announces(peer: Peer) -> None:
        await peer.request()
        peer.say(ANSWER.replace(b"X-Served-By", b"Connection: close\r\nX-Served-By"))

    with serving(announces) as port:
        found = results(f"127.0.0.1:{port}", "--qps", 100, "--duration", "1s")
    assert found["connections"]["opened"] == 100


@pytest.mark.parametrize("ready", [False, True], ids=["while it starts", "while it sends"])
def test_whatever_a_ctrl_c_meets_the_results_are_kept(
    ready: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that met the import of the live view had lost them all."""
    from lameduck.cli import main
    from lameduck.load import crew

    hear, pressed = crew.Crew._hear, []

    def interrupted(self: crew.Crew, pipe: crew.Connection) -> crew.Word | None:
        word = hear(self, pipe)
        if not pressed and (word is None or hasattr(self, "started") is ready):
            pressed.append(os.kill(os.getpid(), signal.SIGINT))
        return word

    monkeypatch.setattr(crew.Crew, "_hear", interrupted)
    with serving(well_behaved) as port:
        words = ["--qps", "100", "--duration", "1m", "--quiet", "--json", str(tmp_path / "load.json")]
        assert main(["load", f"127.0.0.1:{port}", *words]) == 130
    assert json.loads((tmp_path / "load.json").read_text())["requests"] < 4500
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
