"""lifecycle.stopSignal may have no effect (LD108, stop-signal-without-effect).

What it finds
    lifecycle.stopSignal in a manifest, with the version unknown or a version where the gate is off by default; where
    it is known to be on, a signal that no handler can have, and a pod without os.name, which the API refuses then.

Why it loses requests
    Unless the feature gate ContainerStopSignals is on, the API drops the field silently and the image's STOPSIGNAL
    rules.

Fix and its safety
    None: put STOPSIGNAL into the image, which every runtime honours. `prove --local` follows the field and says so.

When not to care
    Clusters where the gate is known to be on.

Evidence
    KEP-4960; off by default in the code of 1.33 to 1.37.

Example
    Dockerfile:
        FROM debian:12-slim
        RUN apt-get update && apt-get install -y nginx-light
        COPY nginx.conf /etc/nginx/nginx.conf
        CMD ["nginx", "-g", "daemon off;"]
    deployment.yaml:
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: front}
        spec:
          replicas: 2
          selector: {matchLabels: {app: front}}
          strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
          template:
            metadata: {labels: {app: front}}
            spec:
              os: {name: linux}
              terminationGracePeriodSeconds: 45
              containers:
                - name: nginx
                  image: registry.example/front-nginx:1
                  ports: [{containerPort: 8080, name: http}]
                  readinessProbe: {httpGet: {path: /, port: http}}
                  lifecycle:
                    stopSignal: SIGQUIT
                    preStop: {sleep: {seconds: 10}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: front}
        spec: {selector: {app: front}, ports: [{port: 80, targetPort: http}]}
    nginx.conf:
        events {}
        http { server { listen 8080; location / { return 200 "ok"; } } }
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding, running, who
from lameduck.manifests.project import Project
from lameduck.manifests.signals import signal_name

DEFECT = Defect(
    "LD108",
    "stop-signal-without-effect",
    "lifecycle.stopSignal may have no effect",
    "Unless the feature gate ContainerStopSignals is on, the API drops the field silently and the image's "
    "STOPSIGNAL rules.",
    Severity.INFO,
)


def lint(project: Project) -> Iterator[Finding]:
    """stopSignal in manifests."""
    for workload, container in running(project):
        node = container.lifecycle["stopSignal"]
        signal = node.string
        if signal is None:
            continue
        if signal_name(signal) in {"KILL", "STOP"} and project.settings.stop_signal_gate:
            message = f"{who(workload, container)}: {signal} reaches no handler: every request in flight is lost"
            yield finding(DEFECT, message, node.entry_span, Confidence.CERTAIN, severity=Severity.ERROR)
        elif project.settings.stop_signal_gate and not workload.pod["os"]["name"].string:
            message = f"{who(workload, container)}: the API refuses a stopSignal in a pod without os.name: linux"
            yield finding(DEFECT, message, node.entry_span, Confidence.CERTAIN, severity=Severity.ERROR)
        elif not project.settings.stop_signal_gate:
            message = (
                f"{who(workload, container)}: stopSignal {signal} works only where the feature gate "
                f"ContainerStopSignals is on; elsewhere the API drops it silently and the image's STOPSIGNAL holds"
            )
            yield finding(DEFECT, message, node.entry_span, Confidence.LIKELY)
