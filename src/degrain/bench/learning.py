"""Learning the parameters of baselines from training pictures: `degrain bench learn`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from zipfile import ZIP_BZIP2, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from degrain.bench.baselines import epll, foe
from degrain.bench.suites import Floats, Suite, make_suite
from degrain.errors import PictureError, UsageError
from degrain.outputs import check_writable
from degrain.progress import shown

Learned = Mapping[str, NDArray[np.float32]]
SIGMAS_255 = (5.0, 15.0, 25.0, 50.0, 75.0)
CROP = 48
JUDGED = 8
"""Crops on which weights are fitted."""


def learn_epll(data: Path, *, effort: float = 1.0, seed: int = 0) -> Learned:
    """The mixture of EPLL: at full effort 200 components from 2,000 patches a picture, 40 rounds.

    Args:
        data: folder of training pictures, of which color ones are made gray.
        effort: 0..1, share of the components, patches and rounds.
        seed: of the choice of patches and the start.

    Raises:
        UsageError: there are no pictures, or too few for the components.
        PictureError: one cannot be read.
    """
    rng = np.random.default_rng(seed)
    components = max(2, round(200 * effort))
    count = max(64, round(2000 * effort))
    pictures = list(gray_pictures(data, epll.SIDE))
    patches = np.concatenate(
        [random_squares(picture, epll.SIDE, count, rng).reshape(count, -1) for picture in pictures]
    )
    if len(patches) < 64 * components:
        msg = f"{len(pictures)} pictures are too few for {components} components; give more."
        raise UsageError(msg)
    mixture = epll.learn(patches, components, max(5, round(40 * effort)), seed)
    # the best share differs from crop to crop: flat ones want less of the noisy picture
    judged = _crops(pictures, 4 * _judged(effort), rng)
    share = epll.fit_fidelity(judged, mixture, 25 / 255, seed)
    return {**mixture, "fidelity": np.asarray(share, dtype=np.float32)}


def learn_foe(data: Path, *, effort: float = 1.0, seed: int = 0) -> Learned:
    """Filters and experts of FoE, 5,000 steps at full effort, and a weight for each noise level.

    Args:
        data: folder of training pictures, of which color ones are made gray.
        effort: 0..1, share of the steps.
        seed: of the choice of crops and the start.

    Raises:
        UsageError: there are no pictures.
        MissingPackageError: PyTorch or SciPy is missing.
        PictureError: one cannot be read.
    """
    rng = np.random.default_rng(seed)
    pictures = list(gray_pictures(data, CROP))
    crops = np.concatenate([random_squares(picture, 24, 20, rng) for picture in pictures])
    model = foe.learn(crops, max(20, round(5000 * effort)), seed)
    weights = foe.fit_weights(_crops(pictures, _judged(effort), rng), model, SIGMAS_255, seed)
    return {**model, "sigmas_255": np.array(SIGMAS_255, np.float32), "weights": weights}


LEARNERS: Mapping[str, Callable[..., Learned]] = {"epll": learn_epll, "foe": learn_foe}


def learn(name: str, data: Path, output: Path, *, effort: float, seed: int = 0) -> None:
    """Learn the parameters of a baseline and write them; see `LEARNERS`.

    Raises:
        UsageError: an unknown baseline, a senseless effort, or a file that cannot be written.
    """
    if name not in LEARNERS:
        msg = f"{name} learns nothing; learn {' or '.join(LEARNERS)}."
        raise UsageError(msg)
    if not 0 < effort <= 1 or output.suffix != ".npz":
        msg = "Give an effort above 0 and up to 1, and an output that ends in .npz."
        raise UsageError(msg)
    check_writable(output)
    found = LEARNERS[name](data, effort=effort, seed=seed)
    try:
        save(found, output)
    except OSError as error:
        msg = f"{output} cannot be written ({error.strerror}); choose another place."
        raise UsageError(msg) from error


def save(arrays: Learned, output: Path) -> None:
    """As `np.savez_compressed`, but by bzip2, a quarter smaller; `np.load` reads either.

    The same arrays give the same file, whose hash is the version of the parameters.

    Raises:
        OSError: it cannot be written.
    """
    with ZipFile(output, "w") as file:
        for name, array in arrays.items():
            member = ZipInfo(f"{name}.npy")
            member.compress_type = ZIP_BZIP2
            with file.open(member, "w") as stream:
                np.save(stream, array)


def gray_pictures(data: Path, least: int) -> Iterator[Floats]:
    """Gray pictures with both sides of at least `least`; bad files are named and left out."""
    suite: Suite = make_suite(data, gray=True)
    for name in shown(suite.names, "reading", "picture"):
        try:
            picture = suite.clean(name)
        except PictureError as error:
            print(f"degrain: left out: {error}", file=sys.stderr)
            continue
        if min(picture.shape) >= least:
            yield picture


def random_squares(picture: Floats, side: int, count: int, rng: np.random.Generator) -> Floats:
    """`count` squares from random places: count×side×side."""
    y, x = (rng.integers(0, n - side + 1, count) for n in picture.shape)
    windows = np.lib.stride_tricks.sliding_window_view(picture, (side, side))
    return np.ascontiguousarray(windows[y, x])


def _judged(effort: float) -> int:
    """How many crops weights are fitted on: all but for the smallest efforts."""
    return max(1, min(JUDGED, round(100 * effort)))


def _crops(pictures: list[Floats], count: int, rng: np.random.Generator) -> Floats:
    """One square from each of `count` pictures, spread over all."""
    large = [picture for picture in pictures if min(picture.shape) >= CROP]
    if not large:
        msg = f"No training picture has {CROP}×{CROP} pixels; give larger ones."
        raise UsageError(msg)
    chosen = large[:: max(1, len(large) // count)][:count]
    return np.concatenate([random_squares(picture, CROP, 1, rng) for picture in chosen])
