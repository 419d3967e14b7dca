"""How fast lint is: one file as a whole process, 4,000 documents, 1,000 scripts; other linters beside it.

Run: .venv/bin/python bench/lint_speed.py
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DOCUMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web{n}}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: web{n}}}}}
  template:
    metadata: {{labels: {{app: web{n}}}}}
    spec:
      containers:
        - name: web
          image: registry.example/web:{n}
          ports: [{{containerPort: 8080}}]
          readinessProbe: {{httpGet: {{path: /, port: 8080}}}}
          lifecycle: {{preStop: {{sleep: {{seconds: 5}}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: web{n}}}
spec: {{selector: {{app: web{n}}}, ports: [{{port: 80, targetPort: 8080}}]}}
"""
SCRIPT = """\
#!/bin/bash
set -euo pipefail
: "${{WORKERS:={n}}}"
if [ "${{1:-}}" = migrate ]; then
  python manage.py migrate
  exit 0
fi
forward() {{ kill -TERM "$child"; wait "$child"; }}
trap forward TERM
gunicorn app.wsgi:application --workers "$WORKERS" &
child=$!
wait "$child"
"""


def timed(*command: str) -> tuple[float, float]:
    """Seconds of a whole process, by the clock and of the processor."""
    warm = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=warm, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def best(times: int, *command: str) -> str:
    """The best of several runs: by the clock, and the processor's time, which a busy machine changes less."""
    wall, processor = (min(each) * 1000 for each in zip(*(timed(*command) for _ in range(times)), strict=True))
    return f"{wall:7.0f} ms, processor {processor:7.0f} ms"


def main() -> None:
    lint = (sys.executable, "-m", "lameduck", "lint")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "one.yaml").write_text(DOCUMENT.format(n=1))
        many = place / "many"
        many.mkdir()
        (many / "all.yaml").write_text("---\n".join(DOCUMENT.format(n=n) for n in range(2000)))
        scripts = place / "scripts"
        scripts.mkdir()
        for n in range(1000):
            (scripts / f"start{n}.sh").write_text(SCRIPT.format(n=n))
        names = [str(one) for one in sorted(scripts.iterdir())]
        image = place / "Dockerfile"
        image.write_text("FROM python:3.12-slim\nCMD gunicorn app:app\n")
        place_of_run = Path.cwd()
        os.chdir(place)  # no configuration file of ours is read
        timed(*lint, str(image))  # bytecode is written
        print(f"python -c pass            {best(10, sys.executable, '-c', 'pass')}")
        print(f"lameduck, one file        {best(10, *lint, str(place / 'one.yaml'))}")
        print(f"lameduck, one Dockerfile  {best(10, *lint, str(image))}")
        print(f"lameduck, 4,000 documents {best(3, *lint, str(many))}")
        print(f"lameduck, 1,000 scripts   {best(3, *lint, *names)}")
        print(f"lameduck, explain         {best(10, *lint[:3], 'explain', 'LD404')}")
        for tool, words in (("kube-linter", ("lint", str(many))), ("kube-score", ("score", str(many / "all.yaml")))):
            if shutil.which(tool):
                print(f"{tool}, 4,000 documents {best(3, tool, *words)}")
        if shutil.which("hadolint"):
            print(f"hadolint, one Dockerfile  {best(10, 'hadolint', str(image))}")
        if shutil.which("shellcheck"):
            print(f"shellcheck, 1,000 scripts {best(3, 'shellcheck', *names)}")
        os.chdir(place_of_run)


if __name__ == "__main__":
    main()
