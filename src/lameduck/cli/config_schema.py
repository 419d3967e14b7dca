"""The JSON schema of the configuration's part for lint, fix and inject, made from their options, for editors.

Law: what the schema allows is what the command line takes: it is made from the same parsers, and a test compares the
file in ``docs/`` with it.
"""

from __future__ import annotations

import argparse
from typing import Any

from lameduck.cli import command_parser

COMMANDS = ("lint", "fix", "inject")


def schema() -> dict[str, Any]:
    """The schema of ``lameduck.toml`` as far as these commands read it."""
    tables = {name: _table(command_parser(name)) for name in COMMANDS}
    ignores = {
        "type": "object",
        "description": "file patterns with the codes that are ignored there",
        "additionalProperties": {"type": ["array", "string"], "items": {"type": "string", "pattern": "^LD[0-9]{0,3}$"}},
    }
    words = {"type": "array", "items": {"type": "string"}}
    image = {
        "shell": {"enum": ["dash", "ash", "bash", ""], "description": 'what /bin/sh is, "" for none'},
        "sleep": {"type": "boolean", "description": "whether there is a sleep program"},
        "stop-signal": {"type": ["string", "number"]},
        "entrypoint": words,
        "cmd": words,
        "server": {"type": "string", "description": "the server that the image brings, such as nginx"},
    }
    images = {
        "type": "object",
        "description": "what images bring, by patterns of their references",
        "additionalProperties": {"type": "object", "properties": image, "additionalProperties": False},
    }
    tables["lint"]["properties"] |= {"per-file-ignores": ignores, "images": images}
    shared = {key: value for table in tables.values() for key, value in table["properties"].items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lameduck.toml",
        "type": "object",
        "properties": {**shared, **tables},
    }


def _table(parser: argparse.ArgumentParser) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for action in parser._actions:  # argparse has no public list of them
        for option in action.option_strings:
            if option.startswith("--") and action.dest != "help":
                properties[option[2:]] = _property(action)
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _property(action: argparse.Action) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if action.help and action.help != argparse.SUPPRESS:
        found["description"] = action.help
    if action.nargs == 0:
        found["type"] = "boolean"
    elif action.choices:
        found["enum"] = list(action.choices)
    elif isinstance(action, argparse._AppendAction):
        found["type"] = ["array", "string"]
        found["items"] = {"type": "string"}
    elif action.type is None:
        found["type"] = ["string", "number"]
    else:
        found["type"] = "number"
    return found


if __name__ == "__main__":
    import json

    print(json.dumps(schema(), indent=2))
