"""lint --live: the objects of a cluster as texts, each under the name that kubectl gives it.

Law: read only. The rules' version is the cluster's own unless the user says another one.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from lameduck.cli.inputs import Inputs


def add_objects(inputs: Inputs, arguments: argparse.Namespace) -> None:
    """Read the cluster's objects, and its version where none was given. Raises `UsageError`, `EnvironmentFault`."""
    import yaml

    from lameduck.kube.connect import find_context
    from lameduck.kube.reading import declared
    from lameduck.manifests.text import Text

    context = find_context(arguments.kubeconfig, arguments.context, arguments.namespace)
    found = asyncio.run(declared(context, arguments.all_namespaces))
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    for one in found.objects:
        text = Text(_name(one, arguments.all_namespaces), yaml.dump(one, Dumper=dumper, sort_keys=False, width=1_000))
        inputs.cache[text.path] = text
        inputs.generated.add(text.path)
        inputs.texts.append(text)
    if not arguments.kubernetes_version:
        arguments.kubernetes_version = found.version
    where = "all namespaces" if arguments.all_namespaces else f"namespace {context.namespace}"
    inputs.notes.append(
        f"{len(found.objects)} objects of {where}, context {context.name or 'of this pod'}, Kubernetes {found.version}"
    )
    inputs.notes += [f"not looked at: {one}" for one in found.refused]


def _name(one: dict[str, Any], everywhere: bool) -> str:
    """``deployment/web.yaml``, with the namespace before it where there are several."""
    meta = one["metadata"]
    name = f"{one['kind'].lower()}/{meta['name']}.yaml"
    return f"{meta.get('namespace', '')}/{name}" if everywhere else name
