"""The servers of the scorecard, and how those are made that must be built; what is not installed is left out.

Built things are kept in ~/.cache/lameduck-scorecard: Node's packages, the Go program, the Java ones.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import servers

APPS = Path(__file__).parent / "apps"
CACHE = Path.home() / ".cache/lameduck-scorecard"
TRAEFIK = Path.home() / ".cache/lameduck-k8s/traefik-v3.5.0"
SPRING = ("3.3.5", "3.5.7", "4.1.2")
QUARKUS = "3.20.0"
MICRONAUT = "4.10.8"
MODELS = ("mlserver==1.7.1", "bentoml==1.4.40")
LIGHT4J = {"1.5.14": ("one", 17), "1.5.15": ("one", 17), "2.3.3": ("two", 21)}
"""Version → the sources that fit it, and the oldest Java."""
POD = (str(servers.ROOT / ".venv/bin/lameduck-pod"), "run")
NGINX = """daemon off; worker_processes 1; pid {folder}/pid.PORT; error_log stderr crit; events {{}}
http {{ access_log off; server {{ listen 127.0.0.1:PORT;
location = /fast {{ return 200 ok; }} location = /slow {{ proxy_pass http://127.0.0.1:{backend}; }} }} }}
"""
HAPROXY = """defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend web
  bind 127.0.0.1:PORT
  http-request return status 200 content-type text/plain string ok if {{ path /fast }}
  default_backend slow
backend slow
  server one 127.0.0.1:{backend}
"""
TRAEFIK_ROUTES = """http:
  routers: {{all: {{rule: 'PathPrefix(`/`)', service: one}}}}
  services: {{one: {{loadBalancer: {{servers: [{{url: 'http://127.0.0.1:{backend}'}}]}}}}}}
"""
PUT_PORT = 'sed "s/PORT/$1/g" "$0" > "$0.$1" && shift && exec '
SCRIPTS = {
    "plain": '#!/bin/bash\n"$@"\n',
    "trap, one wait": "#!/bin/bash\ntrap 'kill -TERM $pid' TERM\n\"$@\" & pid=$!\nwait $pid\n",
    "trap, two waits": "#!/bin/bash\ntrap 'kill -TERM $pid' TERM\n\"$@\" & pid=$!\nwait $pid\ntrap - TERM\nwait $pid\n",
    "exec": '#!/bin/bash\nexec "$@"\n',
}


@dataclass(frozen=True)
class Subject:
    """One row: the server's command, score's own options, variables, and what must be made first."""

    command: tuple[str, ...]
    options: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    make: Callable[[], None] = lambda: None


def subjects(backend: int = 0) -> dict[str, Subject]:
    """Everything that can be asked here; `backend` is the port of one who answers /slow for those that only proxy."""
    CACHE.mkdir(parents=True, exist_ok=True)
    found: dict[str, Subject] = {}
    for name in servers.PYTHON:
        for layer in (False, True):
            env = {**servers.environment(layer=layer), "LAMEDUCK_JOURNAL": "none"}
            found[name + " + layer" * layer] = Subject(servers.words(name), env=env)
    workers = (str(servers.BIN / "hypercorn"), "-b", "127.0.0.1:{port}", "asgi_app:app")
    quiet = {"LAMEDUCK_JOURNAL": "none"}
    found["hypercorn, 1 worker"] = Subject(workers, env={**servers.environment(layer=False), **quiet})
    below = (*POD, "--delay", "3", "--", *workers)
    found["hypercorn, 1 worker + layer + run"] = Subject(below, env={**servers.environment(layer=True), **quiet})
    http = ("--http11-socket", "127.0.0.1:{port}", "--master", "--processes", "2", "--threads", "16", "--need-app")
    uwsgi = (str(servers.BIN / "uwsgi"), *http, "--module", "wsgi_app:app", "--disable-logging")
    found["uwsgi"] = Subject(uwsgi, env=servers.environment(layer=False))
    uwsgi += ("--hook-master-start", "unix_signal:15 gracefully_kill_them_all")
    found["uwsgi, drains on SIGTERM"] = Subject(uwsgi, env=servers.environment(layer=False))
    below = (*POD, "--delay", "3", "--", *uwsgi)
    found["uwsgi, drains on SIGTERM + layer + run"] = Subject(below, env={**servers.environment(layer=True), **quiet})
    return found | node() | go() | java() | models() | start_scripts() | proxies(backend) | streams(backend)


def node() -> dict[str, Subject]:
    """Node's own ways, and three packages."""
    if not shutil.which("npm"):
        return {}
    folder = CACHE / "node"

    def make() -> None:
        folder.mkdir(exist_ok=True)
        for name in ("package.json", "server.js"):
            shutil.copy(APPS / name, folder)
        if not (folder / "node_modules").exists():
            words = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
            subprocess.run(words, cwd=folder, check=True, timeout=200, stdout=subprocess.DEVNULL)

    ways = ("default", "close", "terminus", "http-graceful-shutdown", "lightship", "lameduck")
    script = str(folder / "server.js")
    return {f"node, {how}": Subject(("node", script, "{port}", how), make=make) for how in ways}


def go() -> dict[str, Subject]:
    """net/http."""
    if not shutil.which("go"):
        return {}
    binary = CACHE / "goserver"

    def make() -> None:
        subprocess.run(["go", "build", "-o", binary, APPS / "server.go"], check=True, timeout=200)

    ways = ("default", "shutdown", "lameduck")
    return {f"go, {how}": Subject((str(binary), "{port}", how), make=make) for how in ways}


def java() -> dict[str, Subject]:
    """Spring Boot, Quarkus, Micronaut and light-4j."""
    if not shutil.which("mvn"):
        return {}
    found: dict[str, Subject] = {}
    for version in SPRING:
        jar = CACHE / f"spring-{version}/target/app.jar"
        run = (_java(17), "-jar", str(jar), "--server.port={port}", "--server.address=127.0.0.1")
        found[f"spring boot {version}"] = Subject(run, make=lambda v=version: _spring(v))  # type: ignore[misc]
    run = (_java(17), "-jar", str(CACHE / "spring-3.3.5/target/app.jar"), "--server.port={port}")
    found["spring boot 3.3.5, graceful"] = Subject(
        (*run, "--server.address=127.0.0.1", "--server.shutdown=graceful"), make=lambda: _spring("3.3.5")
    )
    run = (_java(17), "-jar", str(CACHE / "spring-3.5.7/target/app.jar"), "--server.port={port}")
    found["spring boot 3.5.7, lameduck"] = Subject(
        (*run, "--server.address=127.0.0.1", "--lameduck=true"), make=lambda: _spring("3.5.7")
    )
    run = (_java(17), "-Dquarkus.http.port={port}", "-Dquarkus.http.host=127.0.0.1")
    jar = ("-jar", str(CACHE / f"quarkus-{QUARKUS}/target/quarkus-app/quarkus-run.jar"))
    found[f"quarkus {QUARKUS}"] = Subject((*run, *jar), make=_quarkus)
    found[f"quarkus {QUARKUS}, shutdown.timeout 20 s"] = Subject(
        (*run, "-Dquarkus.shutdown.timeout=20", *jar), make=_quarkus
    )
    run = (_java(17), "-Dmicronaut.server.port={port}", "-Dmicronaut.server.host=127.0.0.1")
    target = CACHE / f"micronaut-{MICRONAUT}/target"
    app = ("-cp", f"{target}/app.jar:{target}/lib/*", "lameduck.App")
    found[f"micronaut {MICRONAUT}"] = Subject((*run, *app), make=_micronaut)
    found[f"micronaut {MICRONAUT}, graceful"] = Subject(
        (*run, "-Dmicronaut.lifecycle.graceful-shutdown.enabled=true", *app), make=_micronaut
    )
    for version in LIGHT4J:
        found[f"light-4j {version}"] = Subject(_light(version), make=lambda v=version: _light4j(v))  # type: ignore[misc]
    found["light-4j 1.5.15, lameduck"] = Subject(
        (*_light("1.5.15"), "-Dlameduck=true"), make=lambda: _light4j("1.5.15")
    )
    return found


def _java(least: int) -> str:
    """The Java on PATH, or one that is new enough beside it."""
    if least > 17:
        newer = sorted(Path("/usr/lib/jvm").glob("*-2[1-9]*/bin/java"))
        return str(newer[-1]) if newer else "java"
    return "java"


def _light(version: str) -> tuple[str, ...]:
    build = CACHE / f"light4j/target/{version}"
    return ("sh", str(APPS / "light4j/start.sh"), _java(LIGHT4J[version][1]), str(build), "{port}")


def _spring(version: str) -> None:
    folder = CACHE / f"spring-{version}"
    if not (folder / "target/app.jar").exists():
        shutil.copytree(APPS / "spring", folder, dirs_exist_ok=True)
        (folder / "pom.xml").write_text((folder / "pom.xml").read_text().replace("BOOT", version))
        _maven(folder, {}, 17)


def _quarkus() -> None:
    folder = CACHE / f"quarkus-{QUARKUS}"
    if not (folder / "target/quarkus-app").exists():
        shutil.copytree(APPS / "quarkus", folder, dirs_exist_ok=True)
        _maven(folder, {"quarkus": QUARKUS}, 17)


def _micronaut() -> None:
    folder = CACHE / f"micronaut-{MICRONAUT}"
    if not (folder / "target/lib").exists():
        shutil.copytree(APPS / "micronaut", folder, dirs_exist_ok=True)
        _maven(folder, {"micronaut": MICRONAUT}, 17)


def _light4j(version: str) -> None:
    folder = CACHE / "light4j"
    generation, release = LIGHT4J[version]
    if not (folder / f"target/{version}/lib").exists():
        shutil.copytree(APPS / "light4j", folder, dirs_exist_ok=True)
        said = {"light4j": version, "generation": generation}
        said |= {"maven.compiler.source": str(release), "maven.compiler.target": str(release)}
        _maven(folder, said, release)


def _maven(folder: Path, said: dict[str, str], release: int) -> None:
    home = Path(shutil.which(_java(release)) or "java").resolve().parents[1]
    words = ["mvn", "-q", "-B", "package", *(f"-D{name}={value}" for name, value in said.items())]
    env = {**os.environ, "JAVA_HOME": str(home)}
    run = subprocess.run(words, cwd=folder, check=False, timeout=300, env=env, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"{folder.name} was not built:\n{run.stdout[-2000:]}")


def models() -> dict[str, Subject]:
    """MLServer and BentoML, in a venv of their own; left out where uv is not there to make it."""
    if not shutil.which("uv"):
        return {}
    folder, apps = CACHE / "models", APPS / "models"
    binaries, message = folder / "bin", CACHE / "infer.bin"

    def make() -> None:
        if not (binaries / "bentoml").exists():
            subprocess.run(["uv", "venv", "-q", "--allow-existing", folder], check=True)
            words = ["uv", "pip", "install", "-q", "--python", binaries / "python", *MODELS]
            subprocess.run(words, check=True, timeout=400)
        subprocess.run([binaries / "python", apps / "slow_model.py", message], check=True, timeout=60)

    script = str(apps / "mlserver.sh")
    http = ("--path", "/v2/health/ready", "--slow", "/v2/models/slow/infer", "--slow-body", '{"inputs": []}')
    service = "/inference.GRPCInferenceService"
    grpc = ("--grpc", "--path", f"{service}/ServerReady", "--slow", f"{service}/ModelInfer")
    bento = ("--path", "/readyz", "--slow", "/slow", "--slow-body", "{}")
    run = (str(binaries / "bentoml"), "serve", "service:Service", "--working-dir", str(apps), "--host", "127.0.0.1")
    return {
        "mlserver": Subject(("sh", script, str(binaries), "http", "{port}"), http, make=make),
        "mlserver, gRPC": Subject(
            ("sh", script, str(binaries), "grpc", "{port}"), (*grpc, "--slow-body", f"@{message}"), make=make
        ),
        "bentoml": Subject((*run, "--port", "{port}"), bento, {"BENTOML_DO_NOT_TRACK": "True"}, make),
    }


def streams(backend: int) -> dict[str, Subject]:
    """HTTP/2 in cleartext, and gRPC."""
    h2c, grpc = ("--http", "h2c"), ("--grpc", "--path", "/p/fast", "--slow", "/p/slow")
    found: dict[str, Subject] = {}
    for layer in (False, True):
        env = {**servers.environment(layer=layer), "LAMEDUCK_JOURNAL": "none"}
        more = " + layer" * layer
        found["hypercorn -w 0, h2c" + more] = Subject(servers.words("hypercorn -w 0"), h2c, env)
        words = servers.words("granian asgi")
        found["granian asgi, h2c" + more] = Subject((words[0], "--http", "2", *words[1:]), h2c, env)
    python = str(servers.BIN / "python")
    for kind in ("sync", "aio"):
        for how, said in {"default": "default", "stop-none": "stop(None)", "stop": "stop(10)"}.items():
            words = (python, str(APPS / "grpc_server.py"), kind, how, "{port}")
            found[f"grpcio {kind}, {said}"] = Subject(words, grpc)
        env = {**servers.environment(layer=True), "LAMEDUCK_JOURNAL": "none"}
        found[f"grpcio {kind} + layer"] = Subject(
            (python, str(servers.APPS / "grpc_app.py"), kind, "{port}"), grpc, env
        )
    if shutil.which("node"):
        script = str(APPS / "http2.js")
        for how in ("default", "close", "goaway", "lameduck"):
            found[f"node http2, {how}"] = Subject(("node", script, "{port}", how), h2c)
    for name, subject in go().items():
        found[name + ", h2c"] = Subject((*subject.command, "h2c"), h2c, make=subject.make)
    for name, subject in proxies(backend, http2=True).items():
        found[name + ", h2c"] = Subject(subject.command, (*h2c, *subject.options))
    return found


def start_scripts() -> dict[str, Subject]:
    """light-4j 1.5.15, which finishes what is in flight, below scripts and inits."""
    if not shutil.which("mvn"):
        return {}
    server, version = _light("1.5.15"), "1.5.15"
    folder = CACHE / "scripts"
    found: dict[str, Subject] = {}

    def make() -> None:
        _light4j(version)
        folder.mkdir(exist_ok=True)
        for name, text in SCRIPTS.items():
            (folder / name.replace(", ", "-").replace(" ", "-")).write_text(text)

    def script(name: str) -> tuple[str, ...]:
        return ("bash", str(folder / name.replace(", ", "-").replace(" ", "-")), *server)

    for name in SCRIPTS:
        found[f"light-4j {version} below bash: {name}"] = Subject(script(name), make=make)
    for init, words in {"tini": ("tini", "--"), "dumb-init": ("dumb-init",)}.items():
        if shutil.which(init):
            found[f"light-4j {version} below {init}"] = Subject((*words, *server), make=make)
            found[f"light-4j {version} below {init} and bash: plain"] = Subject((*words, *script("plain")), make=make)
    found[f"light-4j {version} below lameduck-pod run"] = Subject((*POD, "--", *server), make=make)
    return found


def proxies(backend: int, *, http2: bool = False) -> dict[str, Subject]:
    """nginx, HAProxy and Traefik, by their signals."""
    found: dict[str, Subject] = {}
    folder = CACHE / ("http2" if http2 else "http1")
    shutil.rmtree(folder, ignore_errors=True)  # with what earlier runs put their ports into
    folder.mkdir()
    listen = {"nginx.conf": " http2", "haproxy.cfg": " proto h2"} if http2 else {}
    for name, text in {"nginx.conf": NGINX, "haproxy.cfg": HAPROXY, "routes.yml": TRAEFIK_ROUTES}.items():
        said = text.format(backend=backend, folder=folder)
        (folder / name).write_text(said.replace("127.0.0.1:PORT", "127.0.0.1:PORT" + listen.get(name, "")))
    if shutil.which("nginx"):
        conf = str(folder / "nginx.conf")
        words = ("sh", "-c", PUT_PORT + 'nginx -p /tmp -c "$0.$PORT"', conf, "{port}")
        found["nginx, SIGTERM"] = Subject(words)
        found["nginx, SIGQUIT"] = Subject(words, ("--signal", "QUIT"))
    if shutil.which("haproxy"):
        words = ("sh", "-c", PUT_PORT + 'haproxy -q -f "$0.$PORT"', str(folder / "haproxy.cfg"), "{port}")
        found["haproxy, SIGTERM"] = Subject(words)
        found["haproxy, SIGUSR1"] = Subject(words, ("--signal", "USR1"))
    if TRAEFIK.exists():
        static = ("--providers.file.filename=" + str(folder / "routes.yml"), "--global.sendAnonymousUsage=false")
        words = (str(TRAEFIK), "--entrypoints.web.address=127.0.0.1:{port}", *static, "--log.level=ERROR")
        found["traefik"] = Subject(words)
        grace = "--entrypoints.web.transport.lifeCycle.requestAcceptGraceTimeout=3"
        found["traefik, requestAcceptGraceTimeout 3 s"] = Subject((*words, grace))
    return found


def versions() -> str:
    """What was measured."""
    commands = (("node", "--version"), ("go", "version"), ("java", "-version"), ("nginx", "-v"), ("haproxy", "-v"))
    node_packages = sorted((APPS / "package.json").read_text().split('"dependencies": {')[1].split("}")[0].split(","))
    packages = ", ".join(line.strip().replace('"', "").replace(": ", " ") for line in node_packages)
    models = ", ".join(name.replace("==", " ") for name in MODELS)
    return f"{servers.versions(commands)}, {packages}, {models}" + (", Traefik 3.5.0" if TRAEFIK.exists() else "")
