"""A proof's fix becomes the patch of the very object that was proven."""

from __future__ import annotations

from typing import Any

import yaml

from lameduck.core.finding import Safety
from lameduck.defects.livefix import against
from lameduck.defects.snippets import drain_window, rolling_update, script_and_window

FACTS = {"pre_stop_seconds": 4, "grace_seconds": 40, "container": "app", "server_version": "v1.34.4"}


def live(*, grace: int = 30, hook: dict[str, Any] | None = None) -> str:
    app: dict[str, Any] = {"name": "app", "image": "shop:1"}
    if hook:
        app["lifecycle"] = {"preStop": hook, "postStart": {"exec": {"command": ["true"]}}}
    pod = {"terminationGracePeriodSeconds": grace, "containers": [{"name": "proxy", "image": "proxy:1"}, app]}
    meta = {"name": "shop", "namespace": "prod"}
    spec = {"replicas": 3, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0}}}
    return yaml.safe_dump(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {**spec, "template": {"spec": pod}}}
    )


def patch_of(manifest: str, **facts: Any) -> Any:
    known = {**FACTS, **facts, "manifest": manifest}
    (patch,) = against(drain_window(known, Safety.SAFE), known).patches
    return yaml.safe_load(patch.snippet)


def app(patch: Any) -> Any:
    (container,) = patch["spec"]["template"]["spec"]["containers"]
    assert container["name"] == "app"
    return container["lifecycle"]["preStop"]


def test_the_patch_names_the_object_the_container_and_only_what_changes() -> None:
    known = {**FACTS, "manifest": live()}
    (patch,) = against(drain_window(known, Safety.SAFE), known).patches
    assert patch.snippet.startswith("# kubectl -n prod patch deployment/shop --patch-file ")
    assert yaml.safe_load(patch.snippet) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": "prod"},
        "spec": {
            "template": {
                "spec": {
                    "terminationGracePeriodSeconds": 40,
                    "containers": [{"name": "app", "lifecycle": {"preStop": {"sleep": {"seconds": 4}}}}],
                }
            }
        },
    }


def test_a_grace_period_is_never_lowered() -> None:
    assert "terminationGracePeriodSeconds" not in patch_of(live(grace=120))["spec"]["template"]["spec"]


def test_another_hook_is_taken_away_since_a_hook_has_one_action() -> None:
    assert app(patch_of(live(hook={"exec": {"command": ["sleep", "1"]}}))) == {"exec": None, "sleep": {"seconds": 4}}


def test_a_sleep_that_is_long_enough_stays() -> None:
    known = {**FACTS, "manifest": live(grace=60, hook={"sleep": {"seconds": 10}})}
    assert against(drain_window(known, Safety.SAFE), known).patches == ()


def test_a_version_without_the_sleep_action_gets_a_command() -> None:
    assert app(patch_of(live(), server_version="v1.28.3")) == {"exec": {"command": ["sleep", "4"]}}


def test_the_strategy_is_patched_where_it_stands() -> None:
    known = {**FACTS, "manifest": live()}
    (patch,) = against(rolling_update(Safety.SAFE), known).patches
    assert yaml.safe_load(patch.snippet)["spec"] == {
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    }


def test_a_start_script_stays_beside_it_and_without_a_live_object_nothing_changes() -> None:
    known = {**FACTS, "manifest": live()}
    fix = script_and_window('exec "$@"\n', "exec", known)
    script, patch = against(fix, known).patches
    assert script.snippet.startswith("#!/bin/")
    assert yaml.safe_load(patch.snippet)["kind"] == "Deployment"
    assert against(fix, FACTS) == fix
