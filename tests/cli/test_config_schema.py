"""The configuration's schema for editors is the one that the options make."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from lameduck.cli.config_schema import schema

FILE = Path(__file__).parents[2] / "docs" / "config-schema.json"


def test_the_file_in_docs_is_what_the_options_make() -> None:
    assert json.loads(FILE.read_text()) == schema(), "python -m lameduck.cli.config_schema > docs/config-schema.json"


def test_a_configuration_is_accepted_and_a_misspelt_key_is_not() -> None:
    good = tomllib.loads(
        'kubernetes-version = "1.31"\n[lint]\nselect = ["LD1"]\nfail-on = "error"\n'
        '[lint.per-file-ignores]\n"a/*" = ["LD2"]\n'
    )
    jsonschema.validate(good, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"lint": {"fail-one": "error"}}, schema())
