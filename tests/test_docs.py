from __future__ import annotations

import re
from pathlib import Path

import pytest

from degrain.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if SNIPPET.search(page.read_text("utf-8"))],
    ids=lambda p: p.name,
)
def test_python_snippets_run(page):
    code = "\n".join(SNIPPET.findall(page.read_text("utf-8")))
    values: dict[str, object] = {}
    exec(compile(code, str(page), "exec"), values)
    assert values


def test_links_lead_somewhere():
    broken = [
        (page.name, link)
        for page in PAGES
        for link in LINK.findall(page.read_text("utf-8"))
        if not (page.parent / link).exists()
    ]
    assert broken == []


VERBS = "denoise estimate add-noise compare models train pack export quantize bench info"


@pytest.mark.parametrize("verb", VERBS.split())
def test_every_option_is_in_the_reference(verb, capsys):
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help"}
    text = (ROOT / "docs" / "reference" / "command-line.md").read_text("utf-8")
    assert options - set(re.findall(r"--[a-z][a-z-]+", text)) == set()
