"""The one picture that an experiment shows: which, and what every method makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from degrain.bench import figures
from degrain.bench.methods import open_method
from degrain.bench.suites import Suite

LEAST_SIDE_PX = 16


def median_picture(psnr: Mapping[str, float]) -> str | None:
    """Chosen by a rule and not by taste: the picture with the median PSNR; None of none."""
    ordered = sorted(psnr, key=lambda name: (psnr[name], name))
    return ordered[len(ordered) // 2] if ordered else None


def draw_shown(
    suite: Suite,
    picture: str,
    spec: str,
    methods: Mapping[str, str],
    psnr: Mapping[str, float],
    path: Path,
    *,
    threads: int | None = None,
) -> None:
    """Run the methods once more on one picture and draw its busiest region.

    Args:
        suite: where the picture is from.
        picture: its name.
        spec: of the noise.
        methods: label -> method name.
        psnr: label -> PSNR in dB over the whole picture, with one for `noisy`; methods without
            one failed and are left out.
        path: PNG to write.
        threads: per method.
    """
    clean = suite.clean(picture)
    noisy = suite.noisy(clean, picture, spec)
    pictures = {"noisy": noisy}
    for label, name in methods.items():
        if label in psnr:
            method = open_method(name, gray=True, threads=threads)
            pictures[label] = method.run(noisy, spec)[0]
    box = figures.busiest_box(clean, max(LEAST_SIDE_PX, min(clean.shape) // 4))
    figures.panels(clean, pictures, box, path, psnr)
