"""docs/rules.md: every rule in one line, made from the catalogue; a test compares the file with it."""

from __future__ import annotations

from lameduck.defects import codes, module

HEAD = """\
# Rules

`lameduck explain CODE` prints a rule's page: what it finds, why it loses requests, the fix and its safety,
the evidence, an example that the tests run. The page is the docstring of the rule's file. LD9xx are what a proof sees.

| code | name | severity | what | fix |
|---|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_row(code) for code in codes())


def _row(code: str) -> str:
    found = module(code)
    defect = found.DEFECT
    name = found.__name__.rsplit(".", 1)[-1]
    words = (found.__doc__ or "").partition("Fix and its safety\n")[2].split()
    safety = words[0].rstrip(":.,;").lower() if words else ""
    fix = safety if safety in {"safe", "unsafe"} else "by hand" if words else ""
    link = f"[{code}](../src/lameduck/defects/{name}.py)"
    return f"| {link} | {defect.slug} | {defect.severity} | {defect.title} | {fix} |\n"


if __name__ == "__main__":
    print(page(), end="")
