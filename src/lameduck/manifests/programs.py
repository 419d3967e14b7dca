"""Wrappers, launchers and servers: what each does with the stop signal. Facts, as data.

Law: a row is a measurement or the program's own documented default, with its version; what is not in the tables is
unknown, and unknown is never judged. ``tests/manifests/test_pid1_table.py`` measures the rows again with what is
installed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


class Does(StrEnum):
    """What a link of the chain from PID 1 to the server does with the stop signal."""

    REPLACES = "replaces itself"
    FORWARDS = "forwards"
    SWALLOWS = "swallows"
    DIES = "dies at once"
    CUTS = "cuts"
    SERVES = "is the server"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Wrapper:
    """A program that runs another one."""

    does: Does
    valued: frozenset[str] = frozenset()
    """Options that take the next word as their value."""
    skip: int = 0
    """Words between the options and the inner command."""
    seconds: float = 0
    init: bool = False
    heir: bool = False
    """Whether an init tells what its command leaves to stop, and waits for it."""
    evidence: str = ""


_INIT = "tini 0.19, dumb-init 1.2.5, catatonit: forward and reap; end when their child ends"
WRAPPERS: dict[str, Wrapper] = {
    "tini": Wrapper(Does.FORWARDS, words("-p -e"), init=True, evidence=_INIT),
    "tini-static": Wrapper(Does.FORWARDS, words("-p -e"), init=True, evidence=_INIT),
    "docker-init": Wrapper(Does.FORWARDS, words("-p -e"), init=True, evidence=_INIT),
    "dumb-init": Wrapper(Does.FORWARDS, words("-r --rewrite"), init=True, evidence=_INIT),
    "catatonit": Wrapper(Does.FORWARDS, init=True, evidence=_INIT),
    "lameduck-pod": Wrapper(  # behind `run`
        Does.FORWARDS,
        words("--stop-signal --forward --delay --ready-file --ready-port --port --least --quiet --stuck --hold --most")
        | words("--balancer --kubelet --ignore --grace --reserve --margin --pre-stop --leftovers --exit-code-map")
        | words("--token --without --journal"),
        init=True,
        heir=True,
        evidence="lameduck-pod: forwards, and what a shell that dies of the signal leaves is told and waited for",
    ),
    "env": Wrapper(Does.REPLACES, words("-u -C --unset --chdir")),
    "nice": Wrapper(Does.REPLACES, words("-n --adjustment")),
    "ionice": Wrapper(Does.REPLACES, words("-c -n -p --class --classdata")),
    "chrt": Wrapper(Does.REPLACES, skip=1),
    "taskset": Wrapper(Does.REPLACES, skip=1),
    "numactl": Wrapper(Does.REPLACES, words("-i -m -N -C -p")),
    "stdbuf": Wrapper(Does.REPLACES, words("-i -o -e --input --output --error")),
    "nohup": Wrapper(Does.REPLACES),
    "setsid": Wrapper(Does.FORWARDS, evidence="util-linux 2.38: drained"),
    "setpriv": Wrapper(
        Does.REPLACES,
        words("--reuid --regid --ruid --rgid --euid --egid --groups --inh-caps --ambient-caps --bounding-set")
        | words("--securebits --pdeathsig --selinux-label --apparmor-profile"),
    ),
    "chroot": Wrapper(Does.REPLACES, skip=1),
    "gosu": Wrapper(Does.REPLACES, skip=1, evidence="gosu 1.14: drained"),
    "su-exec": Wrapper(Does.REPLACES, skip=1),
    "chpst": Wrapper(Does.REPLACES, words("-u -U -b -e -/ -n -m -d -o -p -f -c -t -l -L")),
    "sudo": Wrapper(Does.FORWARDS, words("-u -g -C -h -p -r -t -U --user --group"), evidence="sudo: drained"),
    "timeout": Wrapper(Does.FORWARDS, words("-s -k --signal --kill-after"), skip=1, evidence="coreutils: drained"),
    "ddtrace-run": Wrapper(Does.REPLACES),
    "opentelemetry-instrument": Wrapper(Does.REPLACES, words("--traces_exporter --metrics_exporter --service_name")),
    "dockerize": Wrapper(Does.FORWARDS, words("-wait -timeout -template -stdout -stderr -wait-retry-interval")),
    "su": Wrapper(Does.CUTS, seconds=2, evidence="util-linux 2.38: SIGKILL 2 s after the signal"),
    "runuser": Wrapper(Does.CUTS, seconds=2, evidence="util-linux 2.38: SIGKILL 2 s after the signal"),
    "script": Wrapper(Does.SWALLOWS, words("-c -O -I -B -T -m -E -o"), evidence="util-linux 2.38: cut or stuck"),
    "flock": Wrapper(Does.SWALLOWS, words("-w -E --timeout"), skip=1, evidence="util-linux 2.38: cut or stuck"),
    "xargs": Wrapper(Does.SWALLOWS, words("-n -P -I -L -d -a -s"), evidence="findutils: cut or stuck"),
    "time": Wrapper(Does.SWALLOWS, words("-f -o"), evidence="GNU time: cut or stuck"),
    "xvfb-run": Wrapper(Does.SWALLOWS, words("-n -e -f -p -s -w"), evidence="a shell that runs its child"),
}

LAUNCHERS: dict[str, tuple[Does, str]] = {
    "npm": (Does.DIES, "npm 11 with dash: dead after 0.5 s, the server is never told"),
    "npx": (Does.DIES, "npx 11 with dash: dead after 0.5 s"),
    "yarn": (Does.DIES, "yarn 1.22: dead at once"),
    "pnpm": (Does.SWALLOWS, "pnpm 12: stuck"),
    "nodemon": (Does.DIES, "nodemon: the server is killed in its drain"),
    "pm2-runtime": (Does.CUTS, "pm2-runtime 7: sends SIGINT, then SIGKILL after 1.6 s"),
    "pm2-docker": (Does.CUTS, "the old name of pm2-runtime: sends SIGINT, then SIGKILL after 1.6 s"),
    "go run": (Does.DIES, "go run: dead at once"),
}
"""Each with its verdict where the script shell is dash; npm and npx drain with bash or ash."""

SUPERVISORS = words(
    "supervisord s6-svscan runsvdir my_init systemd circusd init s6-overlay-init runit runit-init monit"
)
"""Known to forward to what they supervise, each by its own settings."""

SHELLS = words("sh bash dash ash ksh mksh zsh busybox")


@dataclass(frozen=True, slots=True)
class Server:
    """A server program: which signals drain it, how long it drains, how long it keeps idle connections."""

    name: str
    graceful: tuple[str, ...] = ()
    """Signals on which it drains; () when none is known."""
    cuts: tuple[str, ...] = ()
    """Signals on which it is known to cut requests in flight."""
    drain: float | None = None
    """Its own drain limit in seconds by default; None when unbounded or unknown."""
    drain_flags: tuple[str, ...] = ()
    keep_alive: float | None = None
    keep_alive_flags: tuple[str, ...] = ()
    hopeless: bool = False
    """Whether it has no graceful shutdown at all."""
    evidence: str = ""


_TERM_INT = ("TERM", "INT")
SERVERS: dict[str, Server] = {
    server.name: server
    for server in (
        Server("nginx", ("QUIT",), ("TERM", "INT"), evidence="nginx 1.22, 4 in flight: TERM cut 4, QUIT served 4"),
        Server("php-fpm", ("QUIT",), ("TERM", "INT"), evidence="php-fpm: QUIT is the graceful stop"),
        Server("httpd", ("WINCH",), ("TERM",), evidence="httpd: WINCH is the graceful stop"),
        Server(
            "gunicorn",
            ("TERM",),
            ("QUIT", "INT"),
            30,
            ("--graceful-timeout",),
            2,
            ("--keep-alive",),
            evidence="gunicorn 27, sync worker: TERM served, QUIT and INT cut; graceful_timeout 30, keepalive 2",
        ),
        Server(
            "uvicorn",
            _TERM_INT,
            ("QUIT",),
            None,
            ("--timeout-graceful-shutdown",),
            5,
            ("--timeout-keep-alive",),
            evidence="uvicorn 0.54: TERM served, QUIT cut; waits for ever, keep-alive 5",
        ),
        Server(
            "hypercorn",
            _TERM_INT,
            (),
            3,
            ("--graceful-timeout",),
            5,
            ("--keep-alive",),
            evidence="hypercorn 0.18: a request of 5 s cut after 3 s; keep-alive 5",
        ),
        Server("granian", _TERM_INT, evidence="granian: TERM served"),
        Server("daphne", hopeless=True, evidence="daphne 4.2: cut at once"),
        Server("waitress", hopeless=True, evidence="waitress 3.0: cut at once"),
        Server("flask run", hopeless=True, evidence="flask run: cut at once"),
        Server("runserver", hopeless=True, evidence="manage.py runserver: cut at once"),
        Server("http.server", hopeless=True, evidence="python -m http.server: cut at once"),
        Server("uwsgi", evidence="uWSGI 2.0.30: TERM cut, QUIT cut"),
        Server("puma", _TERM_INT),
        Server(
            "unicorn", ("QUIT",), ("TERM", "INT"), evidence="unicorn: QUIT is the graceful stop, TERM the quick one"
        ),
        Server("haproxy", ("USR1",), ("TERM", "INT"), evidence="haproxy: USR1 is the soft stop, TERM the hard one"),
        Server("traefik", ("TERM",), (), 10, ("--entrypoints.web.transport.lifecycle.gracetimeout",)),
        Server("node", keep_alive=5, evidence="node 20: keepAliveTimeout 5 s"),
        Server("java"),
        Server("python"),
        Server("ruby"),
        Server("dotnet"),
        Server("php"),
        Server("deno"),
        Server("bun"),
        Server("caddy", _TERM_INT),
        Server("envoy"),
        Server("redis-server", _TERM_INT),
        Server("postgres", ("TERM", "INT")),
        Server("mysqld", ("TERM",)),
        Server("mariadbd", ("TERM",)),
        Server("mongod", _TERM_INT),
        Server("memcached"),
        Server("rabbitmq-server"),
        Server("celery", ("TERM",)),
        Server("streamlit"),
        Server("jupyter"),
        Server("tritonserver"),
        Server("torchserve"),
        Server("tensorflow_model_server"),
        Server("mlflow"),
        Server("vllm"),
        Server("ray"),
        Server("catalina.sh"),
        Server("sidekiq"),
        Server("erl"),
        Server("nats-server"),
        Server("etcd"),
        Server("vault"),
        Server("consul"),
        Server("prometheus"),
        Server("grafana"),
    )
}

_ALIASES = {
    "nginx-debug": "nginx",
    "openresty": "nginx",
    "apache2": "httpd",
    "apache2-foreground": "httpd",
    "httpd-foreground": "httpd",
    "apachectl": "httpd",
    "apache2ctl": "httpd",
    "waitress-serve": "waitress",
    "nodejs": "node",
    "python3": "python",
    "uwsgi-core": "uwsgi",
    "unicorn_rails": "unicorn",
    "rails": "puma",
    "postgres": "postgres",
    "jupyter-lab": "jupyter",
    "jupyter-notebook": "jupyter",
    "gunicorn3": "gunicorn",
}
_MODULES = {
    "gunicorn": "gunicorn",
    "uvicorn": "uvicorn",
    "hypercorn": "hypercorn",
    "daphne": "daphne",
    "granian": "granian",
}
_VERSIONED = re.compile(r"(python|php-fpm|java|ruby|node)[\d.]*\Z")


def base(word: str) -> str:
    """The program's name without its folder."""
    return word.rsplit("/", 1)[-1]


def server_of(argv: tuple[str, ...]) -> Server | None:
    """The known server that a command line starts; None when it is not in the table."""
    if not argv:
        return None
    name = base(argv[0])
    name = _ALIASES.get(name, name)
    if match := _VERSIONED.match(name):
        name = match[1]
    rest = argv[1:]
    if name == "python":
        return _python(rest)
    if name == "flask":
        return SERVERS["flask run"] if "run" in rest else None
    if name in {"manage.py", "django-admin"} and "runserver" in rest:
        return SERVERS["runserver"]
    if name == "php" and rest[:1] == ("-S",):
        return None
    if argv[0].endswith("rails") and not set(rest) & {"s", "server"}:
        return None
    if name == "celery" and "worker" not in rest and "beat" not in rest:
        return None
    if name in {"nginx", "httpd"} and set(rest) & {"-t", "-s", "-v", "-V", "configtest", "graceful", "stop"}:
        return None
    return SERVERS.get(name)


def running(argv: tuple[str, ...]) -> tuple[str, str]:
    """The known server and the known launcher that a running process is, by its command line; "" for neither.

    A process may have written a title over its command line: ``nginx: master process …``, ``npm start``. An interpreter
    is told by its program: ``node /usr/lib/node_modules/npm/bin/npm-cli.js``.
    """
    if len(argv) == 1:
        argv = tuple(argv[0].partition(": ")[0].split())
    server = server_of(argv)
    names = [re.sub(r"(-cli)?\.c?js\Z", "", base(word)) for word in argv[:2]]
    launcher = "go run" if names == ["go", "run"] else next((name for name in names if name in LAUNCHERS), "")
    return server.name if server is not None and not launcher else "", launcher


def _python(rest: tuple[str, ...]) -> Server | None:
    words = list(rest)
    while words and words[0].startswith("-") and words[0] not in {"-m", "-c"}:
        words.pop(0)
    if words[:1] == ["-c"]:
        return None
    if words[:1] == ["-m"] and len(words) > 1:
        module = words[1]
        if module == "http.server":
            return SERVERS["http.server"]
        if module == "flask":
            return SERVERS["flask run"] if "run" in words else None
        if module == "waitress":
            return SERVERS["waitress"]
        return SERVERS[_MODULES[module]] if module in _MODULES else SERVERS["python"]
    if words and base(words[0]) == "manage.py":
        return SERVERS["runserver"] if "runserver" in words else SERVERS["python"]
    if words and (known := SERVERS.get(_ALIASES.get(base(words[0]), base(words[0])))):
        return known
    return SERVERS["python"]


def flag_number(argv: tuple[str, ...], flags: tuple[str, ...]) -> float | None:
    """The number of the last of the flags in a command line, as ``--x 5`` or ``--x=5``; None without one."""
    value: float | None = None
    for index, word in enumerate(argv):
        name, _, given = word.partition("=")
        if name in flags:
            given = given or (argv[index + 1] if index + 1 < len(argv) else "")
            if re.fullmatch(r"\d+(\.\d+)?", given):
                value = float(given)
    return value
