"""Somebody else's load through whole proofs over real processes: started beside them, read, laid on pods and causes."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.proving.brisk import NOISE, SERVERS, causes, clean, fallen, proved, zoo

from lameduck.core.errors import EnvironmentFault, UsageError
from lameduck.core.proof import Verdict
from lameduck.load.foreign import Import, place
from lameduck.runfile import read

pytestmark = pytest.mark.timeout(120)

CALLER = f"{sys.executable} {SERVERS / 'caller.py'} {{host}} {{port}} {{out}}"
PLAN = Path(__file__).parents[2] / "docs" / "load" / "plan.jmx"


def brought(rate: float, *, promised: float = 0.0, more: str = "") -> Import:
    return Import("jmeter", Path(), f"{CALLER} {rate} {more}", promised)


def lameduck(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "COLUMNS": "200"}
    command = [sys.executable, "-m", "lameduck", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.rollout
def test_its_failures_get_their_pods_and_their_cause_from_what_passed_the_doorway(tmp_path: Path) -> None:
    proof = proved(tmp_path, *zoo("exits"), imports=brought(150, promised=100))
    assert proof.verdict is Verdict.FAILED
    assert ("LD101", "LD901") in causes(proof)
    run = read(tmp_path / "run").run
    lost = list(run.recording.failed_exchanges())
    named = [each for each in lost if each.routed_to]
    assert len(named) > 0.7 * len(lost) >= 1
    assert {each.failure.kind.value for each in named if each.failure} >= {
        "refused"
    }  # not the reset that it looked like
    assert proof.imported is not None
    assert any("closed loop" in each for each in proof.notes)


@pytest.mark.rollout
def test_zero_is_proven_only_with_a_promise_that_was_held(tmp_path: Path) -> None:
    proof = proved(tmp_path, *zoo("lame"), imports=brought(150, promised=90))
    assert clean(proof)
    assert "connections not told apart" not in proof.sentence
    assert not proof.start_delay.total  # nothing is said of what was not measured
    again = lameduck(
        tmp_path, "attach", f"jmeter:{tmp_path / 'run' / 'load.jmeter'}", str(tmp_path / "run"), "--json", "-"
    )
    told = json.loads(again.stdout)
    assert again.returncode == 3, again.stderr
    assert told["verdict"] == "INCONCLUSIVE"
    assert abs(told["requests"] - proof.requests) <= 5  # the clock's anchor is kept to the millisecond
    unheld = {gate["name"]: gate for gate in told["validity"]["gates"] if not gate["held"]}
    assert set(unheld) - NOISE == {"its clock is ours"}
    assert "--qps" in unheld["the plan was sent"]["remedy"]


@pytest.mark.rollout
def test_a_load_that_ends_before_the_run_proves_nothing_and_a_run_can_wait_for_its_file(tmp_path: Path) -> None:
    proof = proved(tmp_path, *zoo("lame"), imports=brought(120, promised=90, more="3"))
    assert proof.verdict is Verdict.INCONCLUSIVE
    assert {"the plan was sent", "every termination was under load"} & fallen(proof)
    assert any("ended by itself" in each for each in proof.notes)
    elsewhere = tmp_path / "old.jtl"
    elsewhere.write_text("timeStamp,elapsed,responseCode,success\n1000000,5,200,true\n")
    for what, said in (
        (f"jmeter:{elsewhere}", "none of the 1 requests"),
        ("jmeter:nowhere.jtl", "cannot read nowhere.jtl"),
        (f"vegeta:{elsewhere}", "cannot be read as vegeta"),
        ("gatling:x", "kind of jmeter"),
        ("jmeter", "which file"),
    ):
        told = lameduck(tmp_path, "attach", what, str(tmp_path / "run"))
        assert (told.returncode, said in told.stderr, told.stderr.count("\n")) == (2, True, 1), told.stderr


@pytest.mark.rollout
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sh -c 'echo no plan; exit 3'", "exit code 3; its last words: no plan"),
        ("no-such-tool", "no-such-tool: No such"),
    ],
)
def test_a_command_that_cannot_send_ends_the_proof_with_its_own_words(tmp_path: Path, command: str, said: str) -> None:
    with pytest.raises(EnvironmentFault, match=said):
        proved(tmp_path, *zoo("lame"), imports=Import("jmeter", Path(), command))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--import", "jmeter:x.jtl"), "--no-load"),
        (("--no-load", "--import", "jmeter"), "which file"),
        (("--no-load", "--import", "nowhere/x"), "a kind of jmeter"),
        (("--no-load", "--import", "k6:no/such/folder/x.json"), "no such folder"),
        (("--no-load", "--import", "accesslog:nginx:."), "it is a folder"),
        (("--load-command", "true"), "--import KIND"),
        (("--import", "jmeter", "--load-command", "jmeter -n"), "{out}"),
        (("--import", "jmeter", "--load-command", "sh -c 'x"), "cannot be read"),
        (("--no-load", "--import", "k6:x.json", "--verify-fix"), "--load-command"),
        (("--no-load", "--service-port", "http"), "--service-port"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_started(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    told = lameduck(tmp_path, "prove", "--local", *words, "--", "true")
    assert (told.returncode, said in told.stderr, told.stderr.count("\n")) == (2, True, 1), told.stderr
    assert not (tmp_path / "state").exists()


def test_places_of_a_load_command_are_filled_word_by_word() -> None:
    command = "jmeter -l {out} -Jhost={host} -Jport={port} 'a b {address}'"
    assert place(command, Path("/a b/x"), "http://10.0.0.1:80") == [
        "jmeter", "-l", "/a b/x", "-Jhost=10.0.0.1", "-Jport=80", "a b 10.0.0.1:80",
    ]  # fmt: skip
    with pytest.raises(UsageError):
        place("", Path(), "h:1")


def jmeter() -> str:
    """A real JMeter: $LAMEDUCK_JMETER, or what bench/load/jmeter has fetched (Debian's own package reads no plan)."""
    said = os.environ.get("LAMEDUCK_JMETER")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lameduck-jmeter"
    if said is None and not (cache.is_dir() and shutil.which("java")):
        pytest.skip("no JMeter here: bench/load/jmeter --version fetches one (with Maven), or set LAMEDUCK_JMETER")
    return said or str(Path(__file__).parents[2] / "bench" / "load" / "jmeter")


@pytest.mark.rollout
def test_a_real_jmeter_with_the_committed_plan(tmp_path: Path) -> None:
    csv = "-Jjmeter.save.saveservice.output_format=csv -Jjmeter.save.saveservice.print_field_names=true"
    command = (
        f"{jmeter()} -n -t {PLAN} -l {{out}} -j {tmp_path / 'jmeter.log'} -Jhost={{host}} -Jport={{port}} -Jpath=/20 "
        f"-Jkeepalive=false -Jperminute=9000 {csv}"
    )
    proof = proved(tmp_path, *zoo("exits"), imports=Import("jmeter", Path(), command))
    assert proof.verdict is Verdict.FAILED
    assert ("LD101", "LD901") in causes(proof)
    run = read(tmp_path / "run").run
    assert proof.requests > 100
    assert run.foreign is not None
    assert replace(run.foreign, losses=()).command == command


@pytest.mark.rollout
def test_a_real_vegeta(tmp_path: Path) -> None:
    """Its own connections, one request each: all that it loses, with the doorway's word on which pod it was."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lameduck-vegeta" / "vegeta"
    vegeta = os.environ.get("LAMEDUCK_VEGETA") or (str(cache) if cache.exists() else shutil.which("vegeta"))
    if vegeta is None:
        pytest.skip("no vegeta here: bench/load/vegeta -version builds one (with Go), or set LAMEDUCK_VEGETA")
    attack = f"{vegeta} attack -rate 120 -duration 0 -keepalive=false -timeout 2s"
    pipe = f"echo GET http://{{address}}/20 | {attack} | {vegeta} encode --to json > {{out}}"
    proof = proved(tmp_path, *zoo("exits"), imports=Import("vegeta", Path(), f"bash -c '{pipe}'", 90.0))
    assert proof.verdict is Verdict.FAILED
    assert ("LD101", "LD901") in causes(proof)
    assert "nothing was masked by retries" in fallen(proof)  # its file cannot say that it used no connection twice


@pytest.mark.rollout
def test_the_access_log_of_a_real_nginx(tmp_path: Path) -> None:
    if shutil.which("nginx") is None:
        pytest.skip("no nginx here: apt-get install nginx-light")
    command = (
        f"bash {SERVERS / 'behind_nginx.sh'} {{address}} {{out}} {tmp_path / 'nginx'} {sys.executable} "
        f"{SERVERS / 'caller.py'}"
    )
    proof = proved(tmp_path, *zoo("exits"), imports=Import("nginx", Path(), command, 90.0))
    assert proof.verdict is Verdict.FAILED
    assert fallen(proof) >= {"the client's own view", "nothing was masked by retries", "its clock is ours"}
    assert set(proof.failures_by_kind) == {"bad_status"} or "protocol" in proof.failures_by_kind
    assert any("whole seconds" in note for note in proof.notes)
    assert {code for code, _ in causes(proof)} <= {"LD999", "LD907", "LD101", "LD803"}
