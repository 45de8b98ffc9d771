"""Put the measured tables and figures of an experiment into a page of the docs.

    python benchmarks/fill_page.py RESULTS [RESULTS ...] docs/explanation/PAGE.md

The page has places `<!-- measured: block NAME -->` and `<!-- measured: figure NAME -->`, each ended
by `<!-- end measured -->`. Blocks come from RESULTS/report.md; figures are RESULTS/NAME.png, which
are copied to docs/images/PAGE/. What stood between the marks is replaced. Of several folders the
first that has a thing gives it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

PLACE = re.compile(
    r"(<!-- measured: (block|figure) ([\w-]+) -->\n).*?(<!-- end measured -->)", re.DOTALL
)
BLOCK = re.compile(r"<!-- block ([\w-]+) -->\n(.*?)\n<!-- end \1 -->", re.DOTALL)


def main() -> None:
    """Fill the page and copy its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("page", type=Path)
    options = parser.parse_args()
    text, missing = fill(options.page, options.results)
    options.page.write_text(text, encoding="utf-8", newline="\n")
    for name in missing:
        print(f"No results have {name}; its place stays as it was", file=sys.stderr)
    sys.exit(1 if missing else 0)


def fill(page: Path, results: list[Path]) -> tuple[str, list[str]]:
    """The page with everything in place, and the names of what was not there."""
    blocks: dict[str, str] = {}
    for folder in reversed(results):
        blocks |= BLOCK.findall((folder / "report.md").read_text(encoding="utf-8"))
    missing: list[str] = []

    def place(match: re.Match[str]) -> str:
        start, kind, name, end = match.groups()
        body = blocks.get(name) if kind == "block" else figure(page, results, name)
        if body is None:
            missing.append(name)
            return match[0]
        return f"{start}\n{body}\n\n{end}"

    return PLACE.sub(place, page.read_text(encoding="utf-8")), missing


def figure(page: Path, results: list[Path], name: str) -> str | None:
    """Copy a figure beside the page's others; the Markdown that shows it."""
    found = [path / f"{name}.png" for path in results if (path / f"{name}.png").is_file()]
    if not found:
        return None
    source = found[0]
    folder = page.parent.parent / "images" / page.stem
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, folder / source.name)
    return f"![{name}](../images/{page.stem}/{source.name})"


if __name__ == "__main__":
    main()
