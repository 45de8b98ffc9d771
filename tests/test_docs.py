from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from degrain.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


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
        (page.name, link, anchor)
        for page in PAGES
        for link, anchor in LINK.findall(page.read_text("utf-8"))
        if not leads_somewhere(page.parent / link if link else page, anchor)
    ]
    assert broken == []


def leads_somewhere(target: Path, anchor: str) -> bool:
    """Whether there is such a file and, for an anchor, such a heading."""
    if not anchor:
        return target.exists()
    headings = HEADING.findall(target.read_text("utf-8")) if target.is_file() else []
    return anchor in {anchor_of(heading) for heading in headings}


def anchor_of(heading: str) -> str:
    """What GitHub makes of a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def test_links_that_lead_nowhere_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# How good?\n[a](page.md#how-good) [b](page.md#bad) [c](no.md#x) [d](no.md)\n")
    found = [
        leads_somewhere(page.parent / link, anchor)
        for link, anchor in LINK.findall(page.read_text())
    ]
    assert found == [True, False, False, False]


VERBS = "denoise estimate add-noise compare models train pack export quantize bench info"


@pytest.mark.parametrize("verb", VERBS.split())
def test_every_option_is_in_the_reference(verb, capsys):
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help"}
    text = (ROOT / "docs" / "reference" / "command-line.md").read_text("utf-8")
    assert options - set(re.findall(r"--[a-z][a-z-]+", text)) == set()


def test_the_page_on_8_bits_says_what_the_cards_say() -> None:
    script = runpy.run_path(str(ROOT / "benchmarks" / "readme_tables.py"))
    page = (ROOT / "docs" / "how-to" / "twice-as-fast.md").read_text(encoding="utf-8")
    assert script["lost"]() in page
    assert script["faster"]() in page
