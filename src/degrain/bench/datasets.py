"""Data sets by name: where they lie below a folder, and by what content they are known."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from degrain.errors import UsageError

DEPTH = 6
"""How many folders deep a data set is looked for."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """A set of pictures that papers name.

    Attributes:
        gray: its name in tables of gray results.
        color: its name in tables of color results; empty for a set of gray pictures.
        folders: ends of paths where it is found, as regular expressions without regard to case.
        ids: the same for a text file that lists the pictures, where they are a part of a folder.
        hashes: `Suite.data` of known copies.
        parts: the same set as a part of a larger one: `Suite.data` of that, `list_hash` of this.
    """

    gray: str
    color: str
    folders: tuple[str, ...]
    ids: str = ""
    hashes: frozenset[str] = frozenset()
    parts: frozenset[tuple[str, str]] = frozenset()


_BERKELEY = (r"bsds?500/(?:.*/)?val", r"bsds?300/(?:.*/)?test")
DATA_SETS: Mapping[str, DataSet] = {
    "bsd68": DataSet(
        "BSD68",
        "CBSD68",
        _BERKELEY,
        r".*bsd68.*\.txt",
        hashes=frozenset({"21b5f2b60c6f"}),
        parts=frozenset({("cdb47597e5a1", "c22f4cb74250")}),
    ),
    "berkeley100": DataSet(
        "Berkeley 100", "Color Berkeley 100", _BERKELEY, hashes=frozenset({"cdb47597e5a1"})
    ),
    "set12": DataSet("Set12", "", (r"set12",), hashes=frozenset({"7e9bc2b62039"})),
    "kodak24": DataSet("Kodak24", "Kodak24", (r"c?kodak(?:24)?",)),
    "mcmaster": DataSet("McMaster", "McMaster", (r"c?mcm(?:aster)?",)),
    "urban100": DataSet("Urban100", "Urban100", (r"c?urban100(?:/HR)?",)),
}
"""By the name that the command takes; copies without a known hash are found all the same."""


def find_data_set(name: str, data: Path) -> tuple[Path, Path | None]:
    """The folder of a data set below (or at) `data`, and the list of its pictures if it has one.

    Raises:
        UsageError: it is not there; the message says what is looked for.
    """
    wanted = DATA_SETS[name]
    folder = next((p for p in _folders(data) if _ends(p, wanted.folders)), None)
    if folder is None:
        some = " or ".join(wanted.folders)
        msg = (
            f"{wanted.gray} is not below {data}: no folder there is named like {some}; give the "
            "folder that holds it, or judge any folder with the suite gray or color."
        )
        raise UsageError(msg)
    if not wanted.ids:
        return folder, None
    lists = (p for place in _folders(data) for p in sorted(place.glob("*.txt")))
    ids = next((p for p in lists if _ends(p, (wanted.ids,))), None)
    if ids is None:
        msg = (
            f"{wanted.gray} is a part of {folder}, but no list of its pictures ({wanted.ids}) is "
            f"below {data}; put one there, or name it with --ids."
        )
        raise UsageError(msg)
    return folder, ids


def list_hash(ids: Iterable[str]) -> str:
    """First 12 hex digits of the SHA-256 over the names of some pictures, without suffixes."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:12]


def title_of(data: str, *, gray: bool, part: str = "") -> str | None:
    """What papers call the pictures with this hash; None for unknown ones.

    Args:
        data: `Suite.data`.
        gray: are they judged in gray?
        part: `list_hash` of those looked at, if not all.
    """
    found = next((known for known in DATA_SETS.values() if _same(known, data, part)), None)
    if found is None:
        return None
    return found.gray if gray else found.color


def _same(known: DataSet, data: str, part: str) -> bool:
    return (data, part) in known.parts if part else data in known.hashes


def _folders(data: Path) -> Iterator[Path]:
    """The folder itself and those below it, nearest first, in the order of their names."""
    level = [data.resolve()]
    for _ in range(DEPTH + 1):
        yield from level
        level = [
            Path(entry.path)
            for folder in level
            if folder.is_dir()
            for entry in sorted(os.scandir(folder), key=lambda entry: entry.name)
            if entry.is_dir() and not entry.name.startswith(".")
        ]


def _ends(path: Path, patterns: tuple[str, ...]) -> bool:
    text = path.as_posix()
    return any(re.search(rf"/{pattern}$", text, re.IGNORECASE) for pattern in patterns)
