"""What must be put back, written down before it is changed, so that also another process can do it after a crash.

Law: the note is on the disk before the change is asked for, and goes when the change is undone. A note names objects
and values, never credentials. `lameduck restore` works off what is left.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lameduck.core.errors import LameduckError
from lameduck.kube.api import JSON, MERGE, Api, ApiError, Json, path


@dataclass(frozen=True, slots=True)
class Debt:
    """One thing to put back: a merge patch, where, and the same for a person."""

    kubeconfig: str
    context: str
    namespace: str
    url: str
    patch: Json
    command: str
    """What a person would type."""
    method: str = "PATCH"


def replicas_debt(api: Api, resource: str, namespace: str, name: str, count: int) -> Debt:
    """The replicas as they were."""
    kind = resource.removesuffix("s")
    return Debt(
        api.context.kubeconfig,
        api.context.name,
        namespace,
        path(resource, namespace, name, "scale"),
        {"spec": {"replicas": count}},
        f"kubectl --context {api.context.name} -n {namespace} scale {kind}/{name} --replicas={count}",
    )


def cordon_debt(api: Api, node: str) -> Debt:
    """A node that takes pods again."""
    return Debt(
        api.context.kubeconfig,
        api.context.name,
        "",
        path("nodes", "", node),
        {"spec": {"unschedulable": None}},
        f"kubectl --context {api.context.name} uncordon {node}",
    )


def job_debt(api: Api, namespace: str, name: str) -> Debt:
    """A Job that must go, with its pods."""
    return Debt(
        api.context.kubeconfig,
        api.context.name,
        namespace,
        path("jobs", namespace, name),
        {"propagationPolicy": "Background"},
        f"kubectl --context {api.context.name} -n {namespace} delete job/{name}",
        "DELETE",
    )


def folder() -> Path:
    """Where notes are kept: ``$XDG_STATE_HOME/lameduck/restore``."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    return Path(state) / "lameduck" / "restore"


class Ledger:
    """The debts of one run, in one file."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or folder() / f"{os.getpid()}-{os.urandom(4).hex()}.json"
        self.debts: list[Debt] = []

    def owe(self, debt: Debt) -> None:
        """Write it down; on the disk when this returns."""
        self.debts.append(debt)
        self._write()

    async def settle(self, api: Api) -> list[str]:
        """Put everything back, last first. Returns the commands for what could not be."""
        left: list[Debt] = []
        for debt in reversed(self.debts):
            try:
                await api.call(
                    debt.method, debt.url, debt.patch, content_type=JSON if debt.method == "DELETE" else MERGE
                )
            except ApiError as error:
                if error.status != 404:  # what is gone needs nothing
                    left.append(debt)
            except LameduckError:
                left.append(debt)
        self.debts = left[::-1]
        self._write()
        return [debt.command for debt in left]

    def _write(self) -> None:
        if not self.debts:
            self.file.unlink(missing_ok=True)
            return
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self.file.with_suffix(".part")
        with part.open("w", encoding="utf-8") as file:
            json.dump({"pid": os.getpid(), "debts": [asdict(debt) for debt in self.debts]}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.file)


def left_behind() -> Iterator[tuple[Ledger, int]]:
    """Ledgers whose process is no more, with its id."""
    for file in sorted(folder().glob("*.json")):
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            ledger = Ledger(file)
            ledger.debts = [Debt(**debt) for debt in kept["debts"]]
        except (OSError, ValueError, TypeError, KeyError):
            continue
        if not Path(f"/proc/{kept['pid']}").exists():
            yield ledger, int(kept["pid"])
