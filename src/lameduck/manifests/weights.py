"""What a command of a start script is: a server, something that is done soon, or something that cannot be told.

Law: a program in no table is unknown. Servers are those of `programs`; interpreters count as servers here, and `flow`
looks whether a better one follows.
"""

from __future__ import annotations

import re
from enum import StrEnum

from lameduck.manifests.programs import SHELLS, WRAPPERS, base, server_of, words
from lameduck.manifests.unwrap import inner, innermost

_ONESHOT_WORDS = words(
    "migrate makemigrations collectstatic compilemessages createsuperuser loaddata check install ci build upgrade "
    "db:migrate db:prepare db:create db:setup db:seed assets:precompile config:cache config:clear route:cache "
    "view:cache storage:link key:generate optimize cache:clear cache:warmup shell console test lint compile init "
    "create_db createcachetable flush seed precompile version --version -v -V --help -h wait"
)
_UTILITIES = words(
    "echo printf : true false test [ [[ cd pwd set unset export readonly local declare typeset let read shift "
    "umask ulimit alias exit return break continue trap wait kill sleep mkdir rmdir rm cp mv ln touch cat chmod "
    "chown chgrp ls find grep egrep fgrep sed awk gawk cut tr sort uniq head tee wc date id whoami hostname uname "
    "which type hash getent useradd usermod groupadd groupmod adduser addgroup deluser sysctl mount umount "
    "install tar gzip gunzip unzip curl wget nc ping dig nslookup host getopt getopts basename dirname realpath "
    "readlink stat df du ps pgrep pkill killall envsubst jq yq openssl git pip pip3 apt-get apk yum dnf "
    "npm-install wait-for-it wait-for-it.sh wait-for wait-for.sh pg_isready psql mysql mysqladmin redis-cli "
    "mongosh mongo createdb alembic flyway liquibase rake composer update-ca-certificates keytool ssh-keygen "
    "locale-gen ldconfig sync seq yes mktemp md5sum sha256sum base64 xxd command source . eval builtin shopt "
    "pushd popd dirs service systemctl crontab logger mkfifo expr times source-highlight aws gcloud kubectl "
    "vault-login consul-template nginx-t cmp diff patch file ip iptables ifconfig route"
)
_SERVING_SCRIPT = re.compile(r"(start|serve|server|dev|preview)\b")
_ONCE_SCRIPT = re.compile(
    r"migrat|build|seed|\bdb\b|lint|test|generat|prisma|install|\bci\b|setup|init|compile|sync|exec"
)


class Weight(StrEnum):
    """What a foreground command of a start script is."""

    SERVER = "server"
    UNKNOWN = "unknown"
    ONCE = "once"


def weight(argv: tuple[str, ...]) -> Weight:
    """Whether a foreground command serves, is done soon, or cannot be told."""
    if not argv:
        return Weight.ONCE
    name = base(argv[0])
    if argv[0] in {"$@", "exec"} or re.match(r"\$[^(]", argv[0]):
        return Weight.SERVER
    rest = set(argv[1:])
    if argv[0].startswith(("$(", "`")):
        return Weight.UNKNOWN
    if name in _UTILITIES:
        return Weight.ONCE
    if rest & _ONESHOT_WORDS and not rest & {"serve", "server", "start", "runserver", "run"}:
        return Weight.ONCE
    server = server_of(argv)
    if server is not None:
        if server.name == "python" and len(argv) > 1 and argv[1] in {"-c", "-"}:
            return Weight.ONCE
        return Weight.SERVER
    if (
        name in {"python", "python3", "node", "php", "ruby", "perl", "java"}
        and len(argv) > 1
        and argv[1] in {"-c", "-e", "-r"}
    ):
        return Weight.ONCE
    if name in {"npm", "yarn", "pnpm", "npx"}:
        return _package_script(name, argv[1:])
    if name in {"bundle", "poetry", "uv", "pipenv"} and len(argv) > 2 and argv[1] in {"exec", "run"}:
        return weight(argv[2:])
    if name in SHELLS and len(argv) > 1:
        return Weight.UNKNOWN
    if name in WRAPPERS:
        inside = inner(argv)
        return weight(inside) if inside else Weight.ONCE
    return Weight.UNKNOWN


_INTERPRETERS = words("python node java ruby php dotnet deno bun")


def runs_anything(argv: tuple[str, ...]) -> bool:
    """Whether the server of a command line is an interpreter: what it runs may serve, or be done soon."""
    server = server_of(argv)
    return server is not None and server.name in _INTERPRETERS


_HTTP = words(
    "gunicorn uvicorn hypercorn granian daphne waitress http.server puma unicorn streamlit jupyter mlflow tritonserver "
    "torchserve tensorflow_model_server vllm nginx httpd haproxy caddy envoy traefik"
) | {"flask run", "runserver"}
_WORKERS = words("celery sidekiq")


def serves_http(argv: tuple[str, ...]) -> bool:
    """Whether a command line is a server that is known to answer requests itself."""
    server = server_of(innermost(argv)) if argv else None
    return server is not None and server.name in _HTTP


def works_alone(argv: tuple[str, ...]) -> bool:
    """Whether a command line is a worker on a queue: nobody's requests pass through it."""
    server = server_of(innermost(argv)) if argv else None
    return server is not None and server.name in _WORKERS


def _package_script(name: str, rest: tuple[str, ...]) -> Weight:
    """What a script of package.json (or of npx) is, by its name."""
    names = [word for word in rest if not word.startswith("-") and word not in {"run", "run-script"}]
    script = names[0] if names else ""
    if _SERVING_SCRIPT.match(script) or (name == "npx" and set(names) & {"start", "serve", "dev"}):
        return Weight.SERVER
    if not script or _ONCE_SCRIPT.search(script) or (name != "npx" and not {"run", "run-script"} & set(rest)):
        return Weight.ONCE
    return Weight.UNKNOWN


def daemonises(argv: tuple[str, ...]) -> bool:
    """Whether a known server puts itself into the background with these arguments."""
    name, words = base(argv[0]), argv[1:]
    if name in {"nginx", "openresty"}:
        return not any("daemon off" in word for word in words)
    if name.startswith("php-fpm"):  # the last of the two options holds (php-fpm 8.2)
        chosen = [word for word in words if word in {"-D", "--daemonize", "-F", "--nodaemonize"}]
        return bool(chosen) and chosen[-1] in {"-D", "--daemonize"}
    if name in {"gunicorn", "uwsgi", "celery"}:
        return bool({"-D", "--daemon", "--daemonize", "--detach"} & set(words))
    if name in {"apachectl", "apache2ctl"}:
        return "FOREGROUND" not in " ".join(words) and "start" in words
    if name in {"redis-server"}:
        return "--daemonize" in words and "yes" in words
    if name in {"catalina.sh", "jboss-cli.sh", "rabbitmq-server"}:
        return "start" in words or "-detached" in words
    return False
