"""Fixes: each is made, proven by reading the result again, and changes nothing a second time."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.manifests.workbench import folder, found_in, project_of

from lameduck.core.finding import Safety
from lameduck.defects.fixing import Mended, Mender, Wanted
from lameduck.manifests.project import Settings
from lameduck.manifests.text import Text, diff

CASES = Path(__file__).parents[1] / "data" / "cases"


def mend(files: dict[str, str], *, unsafe: bool = True, settings: Settings | None = None) -> Mended:
    project = project_of(files, settings)
    texts = {path: Text(path, content) for path, content in files.items()}
    return Mender(project.texts.values(), texts.get, settings or Settings(), Wanted(unsafe)).run()


def after(files: dict[str, str], mended: Mended) -> dict[str, str]:
    return {**files, **{path: text.content for path, text in mended.texts.items()}}


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_the_diff_of_a_case_is_the_expected_one(case: Path) -> None:
    files = folder(case)
    files.pop("expected")
    expected = files.pop("fixed.diff", "")
    mended = mend(files)
    assert "".join(diff(path, mended.before[path], mended.texts[path].content) for path in mended.changed) == expected
    assert not mended.refused


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_mending_twice_changes_nothing(case: Path) -> None:
    files = {path: content for path, content in folder(case).items() if path not in {"expected", "fixed.diff"}}
    once = after(files, mend(files))
    assert mend(once).changed == []


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_what_was_mended_is_no_longer_found(case: Path) -> None:
    files = {path: content for path, content in folder(case).items() if path not in {"expected", "fixed.diff"}}
    mended = mend(files)
    left = {one.defect.code for one in found_in(after(files, mended))}
    assert not left & {one.defect.code for one in mended.applied}


def test_without_unsafe_only_safe_fixes_are_made() -> None:
    files = folder(CASES / "script_without_exec")
    assert mend(files, unsafe=False).changed == []
    assert all(one.fix is not None and one.fix.safety is Safety.UNSAFE for one in mend(files).applied)


DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: registry.example/web:1
          ports: [{containerPort: 8080}]
          readinessProbe: {httpGet: {path: /, port: 8080}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""
SCRIPT = "#!/bin/sh\ngunicorn app:app\n"
DOCKERFILE = 'FROM python:3.12-slim\nCOPY start.sh /start.sh\nENTRYPOINT ["/start.sh"]\n'


def test_a_script_and_its_drain_window_are_one_safe_fix_where_the_manifest_is_known() -> None:
    files = {"Dockerfile": DOCKERFILE, "start.sh": SCRIPT, "web.yaml": DEPLOYMENT}
    mended = mend(files, unsafe=False)
    assert mended.texts["start.sh"].content == "#!/bin/sh\nexec gunicorn app:app\n"
    assert "          lifecycle:\n            preStop:\n              sleep:\n                seconds: 5\n" in (
        mended.texts["web.yaml"].content
    )
    assert "terminationGracePeriodSeconds: 40\n" in mended.texts["web.yaml"].content, "5 + gunicorn's 30 + 5"
    script = next(one for one in mended.applied if one.defect.code == "LD401")
    assert script.fix is not None and {patch.file for patch in script.fix.patches} == {"start.sh", "web.yaml"}


def test_a_pre_stop_for_an_old_cluster_is_an_exec_sleep_where_the_image_has_one() -> None:
    files = {"Dockerfile": DOCKERFILE, "start.sh": "#!/bin/sh\nexec gunicorn app:app\n", "web.yaml": DEPLOYMENT}
    mended = mend(files, settings=Settings(kubernetes=(1, 28)))
    assert 'command: [sleep, "5"]' in mended.texts["web.yaml"].content


def test_a_container_that_an_alias_shares_is_left_to_a_person() -> None:
    shared = DEPLOYMENT.replace("- name: web", "- &c\n          name: web").replace(
        "port: 8080}}\n---", "port: 8080}}\n        - <<: *c\n          name: two\n---"
    )
    mended = mend({"web.yaml": shared})
    before, own = mended.texts["web.yaml"].content.split("        - <<: *c\n")
    assert "lifecycle" not in before, "the anchor's own mapping would change both containers"
    assert "lifecycle" in own


BARE = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: IMAGE
          ports: [{containerPort: 8080}]
          readinessProbe: {httpGet: {path: /r, port: 8080}}
HOOK---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""
SLEEPS = '          lifecycle: {preStop: {exec: {command: [sleep, "10"]}}}\n'


@pytest.mark.parametrize(("hook", "code"), [("", "LD101"), (SLEEPS, "LD104")])
@pytest.mark.parametrize(
    ("image", "version", "proposed"),
    [
        ("gcr.io/distroless/static", (1, 29), "drain sidecar"),
        ("gcr.io/distroless/static", (1, 28), "nothing"),
        ("gcr.io/distroless/static", (1, 34), "sleep"),
    ],
)
def test_where_neither_cluster_nor_image_can_sleep_the_drain_sidecar_is_shown(
    hook: str, code: str, image: str, version: tuple[int, int], proposed: str
) -> None:
    files = {"web.yaml": BARE.replace("IMAGE", image).replace("HOOK", hook)}
    found = [one for one in found_in(files, Settings(kubernetes=version)) if one.defect.code == code]
    fix = found[0].fix
    if proposed == "nothing":
        assert fix is None
        return
    assert fix is not None and (proposed in fix.title or "wait 5 s" in fix.title)
    if proposed != "drain sidecar":
        return
    assert fix.safety is Safety.UNSAFE and not fix.patches[0].edits
    shown = yaml.safe_load(fix.patches[0].snippet)["spec"]["template"]["spec"]
    assert shown["initContainers"][0]["args"][-4:] == ["--port", "8080", "--grace", "40"]
    assert shown["terminationGracePeriodSeconds"] == 40
    assert shown["containers"][0]["lifecycle"]["preStop"]["httpGet"]["port"] == 9190
    assert mend(files, settings=Settings(kubernetes=version)).changed == [], (
        "it names an image that only the reader has"
    )


RUN = "          command: [lameduck-pod, run, OPTIONS--, gunicorn, app:app]\n"


@pytest.mark.parametrize(
    ("options", "more", "found"),
    [
        ("", "", True),
        ("--until-quiet, ", "", False),
        ('--delay, "5", ', "", False),
        ("", '          env: [{name: LAMEDUCK_DELAY, value: "5"}]\n', False),
        ("", "          envFrom: [{configMapRef: {name: settings}}]\n", False),
    ],
)
def test_lameduck_pod_run_delays_only_where_it_is_told_to(options: str, more: str, found: bool) -> None:
    files = {"web.yaml": BARE.replace("IMAGE", "x:1").replace("HOOK", RUN.replace("OPTIONS", options) + more)}
    assert ("LD101" in {one.defect.code for one in found_in(files)}) is found


DRAIN = "          lifecycle: {preStop: {exec: {command: [lameduck-pod, drain, --port, '8080']}}}\n"
PYZ = "          lifecycle: {preStop: {exec: {command: [python3, -IS, /lameduck-pod.pyz, drain]}}}\n"


@pytest.mark.parametrize("hook", [DRAIN, PYZ])
@pytest.mark.parametrize(
    ("image", "dockerfile", "missing"),
    [
        ("gcr.io/distroless/java21-debian12", "", True),
        ("nginx:1.27-alpine", "", True),
        ("gcr.io/distroless/python3-debian12", "", False),
        ("python:3.12-alpine", "", False),
        ("nginx:1.27", "", False),  # Debian's images differ
        ("registry.example/own:1", "", False),
        ("web", "FROM alpine\nCOPY app /app\n", True),
        ("web", "FROM alpine\nRUN apk add python3 && pip install lameduck-pod\n", False),
        ("web", "FROM python:3.12 AS b\nFROM scratch\nCOPY --from=b / /\n", False),
    ],
)
def test_the_drain_hook_needs_python_in_the_image(hook: str, image: str, dockerfile: str, missing: bool) -> None:
    files = {"web.yaml": BARE.replace("IMAGE", image).replace("HOOK", hook)}
    if dockerfile:
        files["web/Dockerfile"] = dockerfile
    found = [one for one in found_in(files, Settings(kubernetes=(1, 31))) if one.defect.code == "LD104"]
    assert [one.defect.code for one in found] == (["LD104"] if missing else [])
    if missing:
        assert "has no Python" in found[0].message
        assert found[0].fix is not None and "drain sidecar" in found[0].fix.title


def test_a_shell_that_keeps_the_signal_below_an_init_is_not_called_pid_1() -> None:
    files = {
        "start.sh": "#!/bin/bash\nnginx -g 'daemon off;'\necho ended\n",
        "Dockerfile": "FROM debian\nCOPY start.sh /\n"
        'ENTRYPOINT ["lameduck-pod", "run", "--stop-signal", "QUIT", "--", "/start.sh"]\n',
    }
    found = [one for one in found_in(files) if one.defect.code == "LD401"]
    assert [one.message.partition(":")[0] for one in found] == [
        "lameduck-pod passes SIGQUIT to bash alone, which does not end of it while nginx runs"
    ]
    files["Dockerfile"] = files["Dockerfile"].replace('"--stop-signal", "QUIT", ', "")
    codes = {one.defect.code for one in found_in(files)}
    assert not codes & {"LD401", "LD402"}, "bash dies of SIGTERM, and run tells nginx"


@pytest.mark.parametrize(
    ("dockerfile", "script", "mended"),
    [
        (  # exec alone would hand nginx the signal on which it cuts
            'FROM alpine:3.20\nCOPY start.sh /start.sh\nCMD ["/start.sh"]\n',
            "#!/bin/sh\nnginx -g 'daemon off;'\n",
            {"LD401", "LD505"},
        ),
        (  # the handler of a dash that takes it now is followed by a single wait
            'FROM python:3.12-slim\nCOPY start.sh /start.sh\nCMD ["/start.sh"]\n',
            "#!/bin/sh\ntrap 'kill -TERM $p' SIGTERM\ngunicorn app:app &\np=$!\nwait $p\n",
            {"LD405", "LD404"},
        ),
        (
            'FROM debian:12-slim\nCOPY start.sh /start.sh\nCMD ["/start.sh"]\n',
            "#!/bin/bash\ntrap 'kill -TERM $p' TERM\nnginx -g 'daemon off;' &\np=$!\nwait $p\n",
            {"LD413", "LD404"},
        ),
    ],
)
def test_what_a_fix_lays_bare_is_mended_with_it(dockerfile: str, script: str, mended: set[str]) -> None:
    files = {"Dockerfile": dockerfile, "start.sh": script}
    result = mend(files)
    assert {one.defect.code for one in result.applied} == mended
    assert not result.refused and not found_in(after(files, result))


@pytest.mark.parametrize(("base", "comes"), [("php:8.3-fpm", "QUIT"), ("debian:12", "TERM INT")])
def test_the_wait_loop_is_for_the_signal_that_comes_and_sends_the_one_that_drains(base: str, comes: str) -> None:
    dockerfile = f'FROM {base}\nCOPY start.sh /\nENTRYPOINT ["/start.sh"]\n'
    mended = mend({"Dockerfile": dockerfile, "start.sh": "#!/bin/bash\nphp-fpm -F\n/after.sh\n"})
    assert f"trap 'kill -QUIT \"$pid\" 2>/dev/null' {comes}\n" in mended.texts["start.sh"].content


def test_exec_is_no_fix_where_a_script_waits_for_several_servers() -> None:
    script = "#!/bin/bash\n/bin/one &\n/bin/two &\nwait\n"
    files = {"Dockerfile": 'FROM debian:12\nCOPY start.sh /\nENTRYPOINT ["/start.sh"]\n', "start.sh": script}
    assert mend(files).changed == [], "it would tell one of the two"
    (found,) = found_in(files)
    assert found.fix is not None and "kill -TERM $pids" in found.fix.patches[0].snippet


def test_a_grace_period_is_moved_to_the_pod_before_one_is_written_there() -> None:
    hook = "          lifecycle: {preStop: {exec: {command: [sleep, '60']}}}\n"
    grace = f"{hook}          terminationGracePeriodSeconds: 120\n---"
    files = {"web.yaml": DEPLOYMENT.replace("---", grace)}
    content = mend(files).texts["web.yaml"].content
    assert content.count("terminationGracePeriodSeconds") == 1 and "terminationGracePeriodSeconds: 120" in content
    assert not found_in({"web.yaml": content})


def test_what_a_hook_waits_after_it_has_stopped_the_server_is_waited_before() -> None:
    hook = "          lifecycle: {preStop: {exec: {command: [sh, -c, 'kill -TERM 1; sleep 25']}}}\n---"
    content = mend({"web.yaml": DEPLOYMENT.replace("---", hook)}).texts["web.yaml"].content
    assert "sleep: {seconds: 25}" in content


def test_a_wait_for_all_stays_one_for_all() -> None:
    script = "#!/bin/bash\n/bin/one & a=$!\n/bin/two & b=$!\ntrap 'kill $a $b' TERM\nwait\n"
    files = {"Dockerfile": 'FROM debian:12\nCOPY start.sh /\nENTRYPOINT ["/start.sh"]\n', "start.sh": script}
    assert mend(files).texts["start.sh"].content == script.replace("\nwait\n", "\nuntil wait; do :; done\n")


def test_a_server_before_an_exec_gets_no_loop_after_which_that_would_start() -> None:
    dockerfile = 'FROM debian:12\nCOPY start.sh /\nENTRYPOINT ["/start.sh"]\nCMD ["puma"]\n'
    files = {"Dockerfile": dockerfile, "start.sh": '#!/bin/bash\nrails server\nexec "$@"\n'}
    assert found_in(files) and mend(files).changed == []
