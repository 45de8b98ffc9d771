"""Lists of training pictures: the shipped ones, how they were drawn, and those in a file.

Jain & Seung trained CN1 on 40 pictures and CN2 on these and 60 more, but did not publish which.
Ours are drawn from the 200 of the Berkeley Segmentation Dataset's training part (BSDS300 train,
the same pictures as BSDS500 train) by `draw`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from degrain.errors import TrainingError, UsageError
from degrain.train.data import Pack, split

FOLDER = Path(__file__).parent
SEED = 2008


def draw(pool: Sequence[str], counts: Sequence[int], seed: int = SEED) -> list[list[str]]:
    """Nested random lists: each begins with the one before. Sorted, as they are shipped.

    The order is that of the SHA-256 of "seed:id", which no version of anything changes.

    Args:
        pool: ids to draw from.
        counts: lengths of the lists, ascending.
        seed: decides the draw.
    """
    order = sorted(pool, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    return [sorted(order[:count], key=int) for count in counts]


def read_list(name: str) -> tuple[str, ...]:
    """The ids of a shipped list by its name, or of a text file: the first word of each line.

    Ids are file names, with or without suffix; what follows a # is a comment.

    Raises:
        UsageError: there is neither such a list nor such a file, or the file names nothing.
    """
    path = FOLDER / f"{name}.txt"
    path = path if path.is_file() else Path(name)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        shipped = ", ".join(sorted(item.stem for item in FOLDER.glob("*.txt")))
        msg = f"No list of pictures {name!r} ({error}); give a text file, or one of {shipped}."
        raise UsageError(msg) from error
    words = [line.split("#")[0].split() for line in lines]
    ids = tuple(Path(word[0]).stem for word in words if word)
    if not ids:
        msg = f"The list {name} is empty; write one picture a line."
        raise UsageError(msg)
    return ids


def select(packed: Pack, ids: Sequence[str], every: int = 20) -> tuple[Pack, Pack]:
    """Divide into the listed pictures, to train on, and pictures to validate on.

    All listed pictures are trained on. Validation takes the others of the folders (or packs) that
    hold listed ones: never those of a folder that is merely there, such as a test set. Where
    nothing is left, some of the listed ones are held out as `data.split` does.

    Raises:
        TrainingError: a listed picture is not there.
    """
    wanted = set(ids)
    stems = [Path(name).stem for name in packed.names]
    missing = sorted(wanted - set(stems))
    if missing:
        msg = (
            f"The data lacks {len(missing)} of {len(wanted)} listed pictures ({missing[0]} ...); "
            "name the folder that holds them with --data."
        )
        raise TrainingError(msg)
    listed = [i for i, stem in enumerate(stems) if stem in wanted]
    sources = {packed.sources[i] for i in listed}
    rest = [
        i for i, stem in enumerate(stems) if stem not in wanted and packed.sources[i] in sources
    ]
    if not rest:
        return split(packed.subset(listed), every)
    return packed.subset(listed), packed.subset(rest)
