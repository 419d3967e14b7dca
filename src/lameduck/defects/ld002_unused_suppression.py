"""A suppression that suppresses nothing (LD002, unused-suppression).

What it finds
    A '# lameduck: ignore[...]' comment or a lameduck.dev/ignore annotation that no finding needs.

Why it loses requests
    A stale ignore hides the next real defect at the same place.

Fix and its safety
    Safe: remove the comment.

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
              # lameduck: ignore[LD301] it has a probe now
              containers:
                - name: web
                  image: registry.example/web:1
                  ports: [{containerPort: 8080, name: http}]
                  readinessProbe: {httpGet: {path: /r, port: 8080}}
                  lifecycle: {preStop: {sleep: {seconds: 5}}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""

from __future__ import annotations

from lameduck.core.finding import Confidence, Defect, Edit, FileSpan, Finding, Safety, Severity
from lameduck.defects.lintkit import finding, fix_of
from lameduck.manifests.text import Text

DEFECT = Defect(
    "LD002",
    "unused-suppression",
    "A suppression that suppresses nothing",
    "A stale ignore hides the next real defect at the same place.",
    Severity.WARNING,
)


def unused(text: Text, place: FileSpan, codes: tuple[str, ...]) -> Finding:
    """The finding for one suppression that nothing needed."""
    what = ", ".join(codes) or "anything"
    start, end = text.starts[place.line - 1], text.line_end(text.starts[place.line - 1])
    at = start + place.column - 1
    fix = None
    if text.content[at] == "#":
        own_line = not text.content[start:at].strip()
        edit = (
            Edit(start, end + len(text.eol), "")
            if own_line
            else Edit(start + len(text.content[start:at].rstrip()), end, "")
        )
        fix = fix_of("remove the suppression", Safety.SAFE, (text, [edit]))
    return finding(
        DEFECT, f"this ignores {what}, but there is nothing to ignore here", place, Confidence.CERTAIN, fix=fix
    )
