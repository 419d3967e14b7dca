"""The manifest's command bypasses the image's init (LD508, command-bypasses-init).

What it finds
    command in a manifest over an ENTRYPOINT that had an init.

Why it loses requests
    command replaces ENTRYPOINT: the init or the exec wrapper of the image is gone.

Fix and its safety
    None.

Evidence
    Pod API: command replaces ENTRYPOINT, args replaces CMD.

Example
    web.yaml:
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
                  image: registry.example/web:1
                  ports: [{containerPort: 8080, name: http}]
                  readinessProbe: {httpGet: {path: /r, port: 8080}}
                  lifecycle: {preStop: {sleep: {seconds: 5}}}
                  command: [gunicorn, a:b, --graceful-timeout, "10"]
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
    Dockerfile:
        FROM python:3.12-slim
        ENTRYPOINT ["tini","--"]
        CMD ["gunicorn","a:b"]
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding, starting, who
from lameduck.manifests.programs import WRAPPERS, base
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD508",
    "command-bypasses-init",
    "The manifest's command bypasses the image's init",
    "command replaces ENTRYPOINT: the init or the exec wrapper of the image is gone.",
    Severity.WARNING,
)


def lint(project: Project) -> Iterator[Finding]:
    """Commands of manifests over an entry point with an init."""
    for program in starting(project):
        words = program.launch.bypassed
        wrapper = WRAPPERS.get(base(words[0])) if words else None
        if (
            wrapper is None
            or not wrapper.init
            or program.workload is None
            or program.container is None
            or program.chain.init
        ):
            continue
        message = (
            f"{who(program.workload, program.container)}: command replaces "
            f"the image's ENTRYPOINT, and with it {base(words[0])}"
        )
        yield finding(DEFECT, message, program.container.node["command"].key_span, Confidence.LIKELY)
