"""Denoiser: a model, an engine and the tiling, behind one call.

Pictures are worked on tile by tile. Only a tile is ever held as floats; the picture itself
stays in its own depth, and so does the result, so that 100 megapixels need no setting.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain import pil, tiling
from degrain.abreast import MOST, Formation, fastest
from degrain.arrays import check_array, check_finite
from degrain.depth import to_dtype, to_float
from degrain.engines.onnx import usable_threads
from degrain.engines.precision import check_precision
from degrain.engines.protocol import Engine
from degrain.errors import PictureError, UsageError
from degrain.estimate import noise_level_255
from degrain.picture import Picture
from degrain.steering import Steering, steer
from degrain.versions import Choice, Versions
from degrain.zoo.card import ModelCard

Progress = Callable[[float], None]
"""Called with the fraction done, rising to 1.0."""

MEGABYTE = 1_000_000
LIBRARY_MB = 150
"""Part of the memory budget kept for the interpreter, ONNX Runtime, libvips and weights."""

_FLOATS_PER_PIXEL = 4
"""Copies of a tile outside the engine, in floats a channel: input, output, blend, result."""


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What one call asks for; see `Denoiser.__call__`."""

    strength: float
    sigma: float | None
    on_progress: Progress | None
    first: Choice | None = None


def check_request(strength: float, sigma: float | None) -> None:
    """Look at numbers before any picture is read.

    Raises:
        UsageError: one is not possible.
    """
    if not 0.0 <= strength <= 1.0:
        msg = f"A strength of {strength:g} is not possible; give a number from 0 to 1."
        raise UsageError(msg)
    if sigma is not None and not 0.0 <= sigma <= 255.0:
        msg = f"A noise level sigma of {sigma:g} is not possible; give 0 to 255."
        raise UsageError(msg)


class Denoiser:
    """Takes the noise out of pictures; reusable, and safe to call from several threads.

    Models are loaded when the first picture needs them. Every call that runs at the same time
    takes its own share of `memory_mb`.

    Args:
        model: a model's name, the path of an ONNX file, "auto": the best one for the picture's
            channels and noise (see `choose`), or "fast": the best small one.
        threads: how many cores one call may use; None, or more than that: all that this process
            may use.
        memory_mb: working memory beyond the decoded picture, in 10^6 bytes; tiles get smaller
            with it, results do not change.
        detail: for models with two ends: 0 is the most faithful one, 1 the one that makes up the
            most texture, between them a mixture of both answers; None: 0 for every model.
        precision: "float", "int8" (the model's 8-bit version: about twice as fast, a little less
            exact), or "auto": 8 bits where the processor gains by it, the picture has 8 bits
            too, and its noise is of a level at which hardly anything is lost.

    Raises:
        UsageError: threads or memory_mb below 1, detail outside 0..1, or no such precision here.
    """

    def __init__(
        self,
        model: str | Path = "auto",
        *,
        threads: int | None = None,
        memory_mb: int = 1024,
        detail: float | None = None,
        precision: str = "auto",
    ) -> None:
        check_precision(precision)
        if threads is not None and threads < 1:
            msg = f"{threads} threads cannot do any work; give 1 or more, or none for all cores."
            raise UsageError(msg)
        if memory_mb < 1:
            msg = f"A memory budget of {memory_mb} MB is not possible; the default is 1024."
            raise UsageError(msg)
        if detail is not None and not 0.0 <= detail <= 1.0:
            msg = f"A detail of {detail} is not possible; give a number from 0 to 1."
            raise UsageError(msg)
        if detail is not None and precision == "int8":
            msg = "Models with two ends have no 8-bit version; leave out detail or precision."
            raise UsageError(msg)
        self._versions = Versions(model, detail=detail, precision=precision)
        self._memory_mb = memory_mb
        self._threads = usable_threads(threads)

    @classmethod
    def from_engine(cls, card: ModelCard, engine: Engine, *, memory_mb: int = 1024) -> Denoiser:
        """A denoiser around an engine of your own, say a `TorchEngine`."""
        denoiser = cls(card.name, memory_mb=memory_mb, precision="float")
        denoiser._versions.add(card, engine)
        denoiser._threads = 1  # what it uses is its own affair, so it gets one tile at a time
        return denoiser

    def __call__(
        self,
        image: Any,
        *,
        strength: float = 1.0,
        sigma: float | None = None,
        on_progress: Progress | None = None,
    ) -> Any:
        """Denoise an array, a PIL image or a picture file; the same kind comes back.

        Args:
            image: array of H×W, H×W×1, H×W×3, or with alpha last H×W×2, H×W×4; uint8, uint16
                (full range from black to white) or float16, float32, float64 (1.0 is white; not
                clipped). Or a PIL image of mode L, LA, RGB, RGBA, I;16 or F. Or the path of a
                picture file, which gives an array. The input is never modified.
            strength: 0 returns a copy, 1 the network's answer, between them a mixture.
            sigma: the noise level, where you know better than the network: standard deviation
                0..255 on the scale of 8-bit gray levels whatever the depth (for floats 255 is
                1.0), root mean square over channels. A higher one takes twice the time, see
                `degrain.steering`. None: the network finds out by itself.
            on_progress: called with the fraction done after every tile.

        Returns:
            The same type, shape, dtype and range. Alpha is passed through untouched.

        Raises:
            UsageError: strength outside 0..1, sigma outside 0..255, unknown model or one without
                8-bit version, memory budget too small.
            PictureError: not a picture, or NaN or infinity in it.
            ModelError: the model is damaged or no denoiser.
        """
        wishes = _Wishes(strength, sigma, on_progress)
        if isinstance(image, str | Path):
            return self._from_path(Path(image), wishes)
        if pil.is_pil(image):
            return self._pil(image, wishes)
        if isinstance(image, np.ndarray):
            return self._array(image, wishes)
        msg = f"{type(image).__name__} is no picture; give a numpy array, a PIL image or a path."
        raise PictureError(msg)

    def picture(
        self,
        picture: Picture,
        *,
        strength: float = 1.0,
        sigma: float | None = None,
        on_progress: Progress | None = None,
        first: Choice | None = None,
    ) -> Picture:
        """Denoise every page of a picture; alpha, metadata and origin stay as they are.

        The arguments are those of a call, and `first`: what works on the first page, if it has been
        chosen already.
        """
        outs = tuple(np.empty_like(page, order="C", subok=False) for page in picture.pages)
        self._pages(picture.pages, outs, _Wishes(strength, sigma, on_progress, first))
        return picture.with_pages(outs)

    def file(
        self,
        source: str | Path,
        target: str | Path,
        *,
        strength: float = 1.0,
        sigma: float | None = None,
        overwrite: bool = False,
        on_progress: Progress | None = None,
    ) -> Picture:
        """Denoise a picture file into another one, which appears whole or not at all.

        Returns:
            The denoised picture, as written.

        Raises:
            UsageError: as for a call; also if the target exists and `overwrite` is False.
            PictureError: the source cannot be read or the target cannot be written.
        """
        from degrain import files

        if Path(target).exists() and not overwrite:
            msg = f"{target} exists already; choose another name or allow overwriting."
            raise UsageError(msg)
        noisy = files.read(Path(source))
        files.check_fit(noisy, Path(target))
        clean = self.picture(noisy, strength=strength, sigma=sigma, on_progress=on_progress)
        files.write(clean, Path(target), overwrite=overwrite)
        return clean

    def model_name(self, channels: int) -> str:
        """The name of the model for pictures of 1 (gray) or 3 (color) channels.

        Where the noise has a say too (see `choose`): for gray the one for white noise, for color
        the one for photographs.
        """
        return self._versions.name(self._versions.key(channels))

    def card(self, channels: int) -> ModelCard:
        """The card of that model."""
        return self._versions.card(self._versions.key(channels))

    def choose(
        self,
        page: NDArray[Any],
        *,
        sigma: float | None = None,
        noise_sigma_255: float | None = None,
    ) -> Choice:
        """What works on a page.

        "auto" takes `degrain-photo`, which knows the noise of cameras and scanners; and where the
        noise is white, and in color another one in every channel (`degrain.whiteness`),
        `degrain-gray` or `degrain-color`, which know nothing else and take that off better. Told a
        level, it takes these too, since they believe it (`degrain.steering`). "fast" does the same
        among the small networks.

        Args:
            page: H×W×C.
            sigma: the noise level that it will be told, on the 0..255 scale.
            noise_sigma_255: its noise level on that scale, root mean square over channels, if
                known; None: it is estimated where that is needed.
        """
        return self._versions.choose(page, sigma, noise_sigma_255)

    def _from_path(self, path: Path, wishes: _Wishes) -> Any:
        from degrain import files

        picture = files.read(path)
        if len(picture.pages) > 1:
            msg = f"{path} has {len(picture.pages)} pages; use Denoiser.file to denoise them all."
            raise PictureError(msg)
        (clean,) = self.picture(
            picture, strength=wishes.strength, sigma=wishes.sigma, on_progress=wishes.on_progress
        ).pages
        if picture.alphas is not None:
            return np.concatenate([clean, picture.alphas[0]], axis=2)
        return clean[..., 0] if clean.shape[2] == 1 else clean

    def _pil(self, image: Any, wishes: _Wishes) -> Any:
        return pil.like(image, self._array(pil.pixels_of(image), wishes))

    def _array(self, image: NDArray[Any], wishes: _Wishes) -> NDArray[Any]:
        if isinstance(image, np.ma.MaskedArray) and np.ma.is_masked(image):
            msg = "A masked array has pixels without a value; fill them first: image.filled(...)."
            raise PictureError(msg)
        image = np.asarray(image)
        check_array(image)
        pixels = image[..., np.newaxis] if image.ndim == 2 else image
        out = np.empty(pixels.shape, dtype=pixels.dtype)
        colors = 1 if pixels.shape[2] <= 2 else 3
        out[..., colors:] = pixels[..., colors:]
        self._pages([pixels[..., :colors]], [out[..., :colors]], wishes)
        return out.reshape(image.shape)

    def _pages(
        self, pages: Sequence[NDArray[Any]], outs: Sequence[NDArray[Any]], wishes: _Wishes
    ) -> None:
        """Denoise H×W×C pages into `outs`, arrays of the same shapes and dtypes."""
        check_request(wishes.strength, wishes.sigma)
        for page in pages:
            check_finite(page)
        report = _Report(sum(page.shape[0] * page.shape[1] for page in pages), wishes.on_progress)
        for page, out in zip(pages, outs, strict=True):
            if wishes.strength == 0.0:
                out[...] = page
                report(page.shape[0] * page.shape[1])
            else:
                self._page(page, out, wishes, report)
            wishes = replace(wishes, first=None)  # that was not chosen for the others

    def _page(
        self, page: NDArray[Any], out: NDArray[Any], wishes: _Wishes, report: Callable[[int], None]
    ) -> None:
        choice = wishes.first or self.choose(page, sigma=wishes.sigma)
        formation = self._formation(page, choice.card)
        engine = self._versions.engine(choice, formation.engine_threads(self._threads))
        steering = Steering() if wishes.sigma is None else _steer(page, wishes.sigma, choice)
        share = np.float32(wishes.strength * steering.share)

        def work(tile: tiling.Tile) -> int:
            noisy = to_float(page[tile.read.slices])
            clean = steering.run(engine, noisy, tile.read)[:, :, *tile.kept]
            if share < 1.0:
                noisy = noisy[:, :, *tile.kept]
                clean = noisy + share * (clean - noisy)
            out[tile.inner.slices] = to_dtype(clean, out.dtype)
            return tile.inner.pixels

        with closing(formation.each(work)) as done:
            for pixels in done:
                report(pixels)

    def _formation(self, page: NDArray[Any], card: ModelCard) -> Formation:
        """The tiling that keeps within the memory budget, and how many tiles go side by side."""
        height, width, channels = page.shape
        budget = (self._memory_mb - LIBRARY_MB) * MEGABYTE
        # The result takes memory too; but a huge one must not starve the tiles.
        budget = max(budget - page.nbytes, budget // 4)
        place = (height, width, card.halo, card.multiple_of)
        per_pixel = card.memory_bytes_per_pixel + 4 * _FLOATS_PER_PIXEL * channels
        least = tiling.least_memory(*place, bytes_per_pixel=per_pixel)
        if budget < least:
            needed = LIBRARY_MB + -(-min(least + page.nbytes, 4 * least) // MEGABYTE)
            msg = (
                f"A memory budget of {self._memory_mb} MB is too small for {card.name} and this "
                f"picture; give {needed} or more."
            )
            raise UsageError(msg)
        possible = []
        for abreast in range(1, min(MOST, budget // least) + 1):
            size = tiling.tile_for_memory(
                *place, memory_bytes=budget, bytes_per_pixel=per_pixel, abreast=abreast
            )
            tiles = tiling.plan(height, width, size, card.halo, card.multiple_of)
            possible.append(Formation(tiles, abreast))
        return fastest(possible, self._threads)


def _steer(page: NDArray[Any], sigma_255: float, choice: Choice) -> Steering:
    own = choice.noise_sigma_255
    return steer(noise_level_255(page) if own is None else own, sigma_255)


def denoise(
    image: Any,
    *,
    model: str | Path = "auto",
    strength: float = 1.0,
    sigma: float | None = None,
    threads: int | None = None,
    memory_mb: int = 1024,
    detail: float | None = None,
    precision: str = "auto",
) -> Any:
    """Denoise one picture: an array, a PIL image or a path; the same kind comes back.

    For more than one picture make a `Denoiser`, which keeps its model; it also documents the
    arguments and errors.
    """
    denoiser = Denoiser(
        model, threads=threads, memory_mb=memory_mb, detail=detail, precision=precision
    )
    return denoiser(image, strength=strength, sigma=sigma)


class _Report:
    """Turns pixels done into the fraction done."""

    def __init__(self, total: int, on_progress: Progress | None) -> None:
        self._total, self._done, self._on_progress = total, 0, on_progress

    def __call__(self, pixels: int) -> None:
        self._done += pixels
        if self._on_progress is not None:
            self._on_progress(self._done / self._total)


class _CallableModule(ModuleType):
    """Makes `degrain.denoise(image)` work although Python binds this module to that name."""

    __call__ = staticmethod(denoise)


sys.modules[__name__].__class__ = _CallableModule
