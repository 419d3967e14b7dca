"""Manifests for tests, as texts: a Deployment and its Service with a few words changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lameduck.core.plan import Disruption
from lameduck.local.manifest.chosen import Wish
from lameduck.local.manifest.reading import spec_of
from lameduck.local.spec import LocalSpec
from lameduck.manifests.project import Project
from lameduck.manifests.text import Text

CONTAINER = """\
        - name: web
          image: registry.example/web:1
          command: [server, --port, "8080"]
          ports: [{containerPort: 8080, name: http}]
"""


def deployment(
    *, name: str = "web", kind: str = "Deployment", spec: str = "", pod: str = "", containers: str = CONTAINER
) -> str:
    group = "apps/v1"
    return f"""\
apiVersion: {group}
kind: {kind}
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
{indented(spec, 2)}  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
{indented(pod, 6)}      containers:
{containers}"""


def service(*, name: str = "web", selector: str = "app: web", spec: str = "", port: str = "targetPort: http") -> str:
    return f"""\
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{{selector}}}
{indented(spec, 2)}  ports: [{{port: 80, {port}}}]
"""


def config(name: str, kind: str = "ConfigMap", **data: str) -> str:
    lines = "".join(f"  {key}: {value!r}\n" for key, value in data.items())
    return f"---\napiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\ndata:\n{lines}"


def indented(text: str, columns: int) -> str:
    return "".join(f"{' ' * columns}{line}\n" for line in text.splitlines())


def read(
    folder: Path,
    content: str,
    *,
    disruption: Disruption = Disruption.ROLLOUT,
    files: dict[str, str] | None = None,
    **wish: Any,
) -> LocalSpec:
    """What is to run by a manifest's text."""
    texts = {"web.yaml": Text("web.yaml", content)}
    others = {path: Text(path, text) for path, text in (files or {}).items()}
    project = Project(texts.values(), {**texts, **others}.get)
    return spec_of(project, others.get, Wish(**wish), disruption, folder)
