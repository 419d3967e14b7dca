"""What well-known base images bring: their shell, their stop signal, their entry point. Facts, as data.

Law: only official and widely known images are in the table, and only what their Dockerfiles say. An image that is not
in it is unknown: its shell, its entry point and its stop signal are then not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from lameduck.manifests.programs import words

_REFERENCE = re.compile(r"(?P<repository>[^@:]*(?::\d+/[^@:]*)?)(?::(?P<tag>[^@]*))?(?:@(?P<digest>.*))?\Z")
_HUB = re.compile(r"\A(?:(?:docker\.io|index\.docker\.io|mirror\.gcr\.io|registry-1\.docker\.io)/)?(?:library/)?")
_ECR = re.compile(r"\Apublic\.ecr\.aws/docker/library/")


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image is known to bring. ``None`` means unknown, "" and () mean known to be none."""

    name: str
    known: bool = False
    shell: str | None = None
    """What /bin/sh is: dash, ash, bash; "" without any shell."""
    sleep: bool | None = None
    """Whether there is a sleep program."""
    stop_signal: str | None = None
    """The image's STOPSIGNAL without SIG; TERM when it sets none."""
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] = ()
    entry_execs: bool = False
    """Whether the image's own entry point script ends in exec."""
    server: str = ""
    root: bool = False
    """Whether it is known to run as root where nothing else is said."""


UNKNOWN = ImageFacts("")
_DASH = ImageFacts("", True, "dash", True, "TERM", ())
_ASH = ImageFacts("", True, "ash", True, "TERM", ())
_BASH = ImageFacts("", True, "bash", True, "TERM", ())
_NONE = ImageFacts("", True, "", False, "TERM", ())
_BUSYBOX: dict[str, Any] = {"shell": "ash", "sleep": True}

_DEBIAN = words(
    "debian ubuntu python pypy golang rust openjdk ruby perl swift eclipse-temurin gradle maven gcc "
    "buildpack-deps erlang elixir haskell julia r-base clojure sapmachine ibmjava amazoncorretto"
)
_ENTRY: dict[str, tuple[tuple[str, ...], tuple[str, ...], str, str]] = {
    "node": (("docker-entrypoint.sh",), ("node",), "TERM", "node"),
    "nginx": (("/docker-entrypoint.sh",), ("nginx", "-g", "daemon off;"), "QUIT", "nginx"),
    "nginxinc/nginx-unprivileged": (("/docker-entrypoint.sh",), ("nginx", "-g", "daemon off;"), "QUIT", "nginx"),
    "openresty/openresty": ((), ("/usr/bin/openresty", "-g", "daemon off;"), "QUIT", "nginx"),
    "httpd": ((), ("httpd-foreground",), "WINCH", "httpd"),
    "redis": (("docker-entrypoint.sh",), ("redis-server",), "TERM", "redis-server"),
    "valkey/valkey": (("docker-entrypoint.sh",), ("valkey-server",), "TERM", ""),
    "postgres": (("docker-entrypoint.sh",), ("postgres",), "INT", "postgres"),
    "mysql": (("docker-entrypoint.sh",), ("mysqld",), "TERM", "mysqld"),
    "mariadb": (("docker-entrypoint.sh",), ("mariadbd",), "TERM", "mariadbd"),
    "mongo": (("docker-entrypoint.sh",), ("mongod",), "TERM", "mongod"),
    "rabbitmq": (("docker-entrypoint.sh",), ("rabbitmq-server",), "TERM", "rabbitmq-server"),
    "memcached": (("docker-entrypoint.sh",), ("memcached",), "TERM", "memcached"),
    "haproxy": (("docker-entrypoint.sh",), ("haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"), "USR1", "haproxy"),
    "traefik": (("/entrypoint.sh",), ("traefik",), "TERM", "traefik"),
    "caddy": ((), ("caddy", "run"), "TERM", "caddy"),
    "envoyproxy/envoy": (("/docker-entrypoint.sh",), ("envoy", "-c", "/etc/envoy/envoy.yaml"), "TERM", "envoy"),
    "tomcat": ((), ("catalina.sh", "run"), "TERM", "catalina.sh"),
    "jetty": (("/docker-entrypoint.sh",), ("java", "-jar", "/usr/local/jetty/start.jar"), "TERM", "java"),
    "wordpress": (("docker-entrypoint.sh",), ("apache2-foreground",), "WINCH", "httpd"),
    "drupal": (("docker-php-entrypoint",), ("apache2-foreground",), "WINCH", "httpd"),
    "php": (("docker-php-entrypoint",), ("php", "-a"), "TERM", ""),
    "denoland/deno": (("/tini", "--", "docker-entrypoint.sh"), ("eval", "1"), "TERM", "deno"),
    "oven/bun": (("/usr/local/bin/docker-entrypoint.sh",), ("bun",), "TERM", "bun"),
}
_PLAIN: dict[str, ImageFacts] = {
    "alpine": _ASH,
    "busybox": _ASH,
    "scratch": _NONE,
    "centos": _BASH,
    "fedora": _BASH,
    "rockylinux": _BASH,
    "almalinux": _BASH,
    "amazonlinux": _BASH,
    "oraclelinux": _BASH,
    "archlinux": _BASH,
    "opensuse/leap": _BASH,
    "opensuse/tumbleweed": _BASH,
    "continuumio/miniconda3": replace(_DASH, entrypoint=()),
    "continuumio/anaconda3": replace(_DASH, entrypoint=()),
    "bitnami/minideb": _DASH,
    "nvidia/cuda": replace(_DASH, entrypoint=("/opt/nvidia/nvidia_entrypoint.sh",), entry_execs=True),
}
_HOSTED: tuple[tuple[str, ImageFacts], ...] = (
    ("gcr.io/distroless/", _NONE),
    ("cgr.dev/chainguard/static", _NONE),
    ("cgr.dev/chainguard/wolfi-base", _ASH),
    ("registry.k8s.io/pause", _NONE),
    ("registry.access.redhat.com/ubi", _BASH),
    ("mcr.microsoft.com/dotnet/", _DASH),
    ("mcr.microsoft.com/playwright", _DASH),
    ("mcr.microsoft.com/vscode/devcontainers/", _DASH),
    ("gcr.io/cloud-sql-connectors/", replace(_NONE, entrypoint=None)),
    ("ghcr.io/astral-sh/uv", _DASH),
)


_ROOT = _DEBIAN | set(_PLAIN) - {"scratch"} | words("node nginx httpd php tomcat wordpress drupal")
"""Images without a USER line."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An image reference in its parts; official images without their host and ``library/``."""

    repository: str
    tag: str
    host: str

    @property
    def name(self) -> str:
        """The last part of the repository."""
        return self.repository.rsplit("/", 1)[-1]


def reference(image: str) -> Reference:
    """An image reference in its parts; nothing is invented for what is absent."""
    match = _REFERENCE.match(image.strip())
    repository, tag = (match["repository"], match["tag"] or "") if match else (image, "")
    repository = _ECR.sub("", _HUB.sub("", repository))
    first = repository.split("/", 1)[0]
    host = first if "/" in repository and ("." in first or ":" in first or first == "localhost") else ""
    return Reference(repository, tag, host)


Facts = Callable[[str], ImageFacts]
"""What is known about an image, by its reference."""


def told(own: Sequence[tuple[str, ImageFacts]]) -> Facts:
    """What the user says about images, by patterns of their references, before what the table says."""

    def known(image: str) -> ImageFacts:
        repository = reference(image).repository
        for pattern, each in own:
            if fnmatchcase(image, pattern) or fnmatchcase(repository, pattern):
                return replace(each, name=image, known=True)
        return facts(image)

    return known if own else facts


def facts(image: str) -> ImageFacts:
    """What is known about an image; `UNKNOWN` with its name for one that is not in the table."""
    ref = reference(image)
    found = _hosted(ref) if ref.host else _official(ref)
    root = ref.repository in _ROOT or ref.repository.startswith("mcr.microsoft.com/dotnet/")
    return replace(found, name=image, root=root) if found else ImageFacts(image)


def _hosted(ref: Reference) -> ImageFacts | None:
    for prefix, known in _HOSTED:
        if ref.repository.startswith(prefix):
            if ref.tag.startswith("debug") or "-debug" in ref.tag:
                return replace(known, **_BUSYBOX)
            if "alpine" in ref.tag:
                return replace(known, **_BUSYBOX)
            if "chiseled" in ref.tag or "distroless" in ref.tag:
                return replace(known, shell="", sleep=False)
            if known is _DASH and re.search(_RED_HATS, ref.tag):
                return _BASH
            if "distroless/" in prefix and "/base" not in ref.repository and "static" not in ref.repository:
                return _distroless(ref, known)
            if "ubi" in prefix and ref.name.endswith("-micro"):
                return known
            if "ubi" in prefix and not re.fullmatch(r"ubi\d*(-minimal|-init)?", ref.name):
                return None  # the s2i images bring entry points of their own
            return known
    return None


def _distroless(ref: Reference, known: ImageFacts) -> ImageFacts:
    """distroless python, node and java have their interpreter as entry point."""
    for word, entry in (("python", "/usr/bin/python3"), ("nodejs", "/nodejs/bin/node"), ("java", "/usr/bin/java")):
        if ref.name.startswith(word):
            args = (entry, "-jar") if word == "java" and "base" not in ref.name else (entry,)
            return replace(known, entrypoint=args, entry_execs=True)
    return known


def _official(ref: Reference) -> ImageFacts | None:
    family = _family(ref)
    if ref.repository in _PLAIN:
        return _PLAIN[ref.repository]
    if ref.repository in _DEBIAN:
        return replace(family, entrypoint=() if ref.repository != "eclipse-temurin" else family.entrypoint)
    if ref.repository not in _ENTRY:
        return None
    entrypoint, cmd, signal, server = _ENTRY[ref.repository]
    if ref.repository == "php":
        cmd, signal, server = _php(ref.tag)
    if ref.repository == "wordpress" and "fpm" in ref.tag:
        cmd, signal, server = ("php-fpm",), "QUIT", "php-fpm"
    if ref.repository in {"nginx", "httpd"}:
        signal = _old_signal(ref, signal) or ""
    return replace(
        family, entrypoint=entrypoint, cmd=cmd, stop_signal=signal or None, server=server, entry_execs=bool(entrypoint)
    )


def _php(tag: str) -> tuple[tuple[str, ...], str, str]:
    if "fpm" in tag:
        return ("php-fpm",), "QUIT", "php-fpm"
    if "apache" in tag:
        return ("apache2-foreground",), "WINCH", "httpd"
    return ("php", "-a"), "TERM", ""


def _old_signal(ref: Reference, signal: str) -> str | None:
    """nginx images stop with QUIT since 1.19.5 (November 2020); 1.18 was built both ways, so it is unknown."""
    if ref.repository != "nginx":
        return signal
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", ref.tag)
    if match is None:
        return signal
    version = (int(match[1]), int(match[2]))
    if version < (1, 18):
        return "TERM"
    if version == (1, 19):
        return None if match[3] is None else "TERM" if int(match[3]) < 5 else signal
    return None if version == (1, 18) else signal


_RED_HATS = r"(?:^|-)(?:ubi|ol|oracle|al\d|amazonlinux|corretto|amazoncorretto|centos|rocky|cbl-mariner|azurelinux)"
"""The tags of images that are built on a distribution whose /bin/sh is bash."""


def _oracle(ref: Reference) -> bool:
    """openjdk images of 12 and later stand on Oracle Linux, unless their tag names a Debian release or is slim."""
    if ref.repository != "openjdk" or re.search(r"slim|stretch|buster|bullseye|bookworm|sid", ref.tag):
        return False
    version = re.match(r"\d+", ref.tag)
    return version is None or int(version[0]) >= 12


def _family(ref: Reference) -> ImageFacts:
    """The distribution below an official image, by its tag."""
    tag = ref.tag
    if "alpine" in tag:
        return _ASH
    if re.search(_RED_HATS, tag) or ref.repository == "amazoncorretto" or _oracle(ref):
        return _BASH
    if ref.repository == "mysql" and "debian" not in tag:
        return _BASH
    if ref.repository in {"traefik", "caddy"}:
        return _ASH
    if "windowsservercore" in tag or "nanoserver" in tag:
        return replace(_NONE, shell=None, sleep=None)
    return _DASH
