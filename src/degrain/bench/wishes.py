"""What is asked of an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked of an experiment.

    Attributes:
        data: folder of clean pictures.
        results: folder for rows, figures and the report.
        references: methods that the paper's networks are compared with; the first one is the
            base of paired differences. None: the experiment's own.
        ids: list of the pictures to take.
        limit: take the first so many pictures.
        quick: repeat things less often.
        seed: of the noise.
        threads: per method; None: as many as there are cores.
        processes: how many pictures slow methods work on at once.
        voc: folder with pictures of PASCAL VOC, for experiments that take some.
        voc_ids: list of those to take.
        runs: run folders of `degrain train`, for experiments that show how a network learned.
        quiet: show no progress.
    """

    data: Path
    results: Path
    references: tuple[str, ...] = ()
    ids: Path | None = None
    limit: int | None = None
    quick: bool = False
    seed: int = 0
    threads: int | None = None
    processes: int = 1
    voc: Path | None = None
    voc_ids: Path | None = None
    runs: tuple[Path, ...] = ()
    quiet: bool = False
