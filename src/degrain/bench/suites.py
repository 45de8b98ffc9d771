"""Suites: which pictures, which noise, by which rules. The rules travel with every number."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from degrain.errors import PictureError, UsageError
from degrain.noise import parse_noise

Floats = NDArray[np.float32]
Protocol = Literal["float", "clip8"]
PROTOCOLS: Mapping[str, str] = {
    "float": "noisy picture as floats, not clipped",
    "clip8": "noisy picture clipped and rounded to 8 bits",
}
CONVERSIONS: Mapping[str, str] = {
    "luma": "0.299 R + 0.587 G + 0.114 B, rounded to 8 bits",
    "average": "(R + G + B) / 3, not rounded",
}
PRESETS: Mapping[str, bool] = {"gray": True, "color": False}
"""Named suites: are the pictures made gray?"""
NOISE = ("gaussian:15", "gaussian:25", "gaussian:50")


@dataclass(frozen=True, slots=True)
class Suite:
    """Pictures and everything that decides what the noisy ones look like.

    Attributes:
        root: folder that the picture names are relative to.
        names: the pictures, sorted; as relative POSIX paths.
        noise: noise specs.
        gray: judge gray pictures, or else RGB ones.
        conversion: how color becomes gray, see `CONVERSIONS`; gray files are taken as they are.
        protocol: see `PROTOCOLS`.
        seed: the noise follows from (seed, picture name, noise spec) alone.
        data: hash of names and contents of the pictures.
    """

    root: Path
    names: tuple[str, ...]
    noise: tuple[str, ...]
    gray: bool
    conversion: str
    protocol: str
    seed: int
    data: str

    @property
    def rules(self) -> str:
        """The protocol string of every row measured here."""
        kind = f"gray ({self.conversion})" if self.gray else "RGB"
        return (
            f"{kind}; {PROTOCOLS[self.protocol]}; seed {self.seed}; "
            f"output neither clipped nor rounded; PSNR over all pixels and channels; "
            f"{len(self.names)} pictures, data {self.data}"
        )

    def clean(self, name: str) -> Floats:
        """The clean picture in 0..1: H×W if gray, else H×W×3.

        Raises:
            PictureError: it cannot be read, or is gray where color is judged.
        """
        from degrain.files import read

        pixels = as_floats(read(self.root / name).pages[0])
        if self.gray:
            return to_gray(pixels, self.conversion)
        if pixels.shape[2] != 3:
            msg = f"{self.root / name} is gray, but color is judged; use the gray suite."
            raise PictureError(msg)
        return pixels

    def noisy(self, clean: Floats, name: str, spec: str) -> Floats:
        """The noisy picture, always the same one for this seed, name and spec."""
        noisy = parse_noise(spec).add(clean, random_source(self.seed, name, spec))
        if self.protocol == "clip8":
            noisy = np.rint(np.clip(noisy, 0, 1) * np.float32(255)) / np.float32(255)
        return noisy


def make_suite(
    data: Path,
    *,
    noise: Sequence[str] = NOISE,
    gray: bool,
    conversion: str = "luma",
    ids: Path | None = None,
    protocol: str = "float",
    seed: int = 0,
    limit: int | None = None,
) -> Suite:
    """Check the wishes and hash the pictures.

    Args:
        data: a folder (searched with its subfolders), or one picture.
        noise: specs, see `degrain.noise.parse_noise`; none: the usual three.
        gray: judge gray pictures.
        conversion: see `CONVERSIONS`.
        ids: text file naming the pictures to take (name without suffix, first word of a line).
        protocol: see `PROTOCOLS`.
        seed: of the noise.
        limit: take the first so many pictures.

    Raises:
        UsageError: something asked for does not exist.
    """
    _one_of("gray conversion", conversion, CONVERSIONS)
    _one_of("protocol", protocol, PROTOCOLS)
    specs = tuple(str(parse_noise(spec)) for spec in noise or NOISE)
    root = data if data.is_dir() else data.parent
    names = _names(data, root)
    if ids is not None:
        names = _chosen(names, ids)
    names = names[:limit]
    if not names:
        msg = f"There is no picture to judge in {data}; give a folder with clean pictures."
        raise UsageError(msg)
    hashed = data_hash(root, names)
    return Suite(root, tuple(names), specs, gray, conversion, protocol, seed, hashed)


def as_floats(pixels: NDArray[Any]) -> Floats:
    """Pixels in 0..1; floats are taken as they are."""
    floats: Floats = pixels.astype(np.float32)
    if pixels.dtype.kind != "f":
        floats /= np.float32(np.iinfo(pixels.dtype).max)
    return floats


def to_gray(pixels: Floats, conversion: str) -> Floats:
    """H×W×C in 0..1 as H×W, see `CONVERSIONS`; one channel stays what it is."""
    if pixels.shape[2] == 1:
        return pixels[:, :, 0]
    if conversion == "average":
        return np.asarray(pixels.mean(axis=2), dtype=np.float32)
    luma = pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    gray: Floats = (np.rint(luma * 255) / 255).astype(np.float32)
    return gray


def random_source(seed: int, name: str, spec: str) -> np.random.Generator:
    """A generator that depends on these three only, not on the other pictures."""
    digest = hashlib.sha256(f"{seed}\n{name}\n{spec}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def data_hash(root: Path, names: Sequence[str]) -> str:
    """First 12 hex digits of the SHA-256 over names and contents."""
    total = hashlib.sha256()
    for name in names:
        try:
            content = (root / name).read_bytes()
        except OSError:
            content = b""  # the row of this picture will say what is wrong with it
        total.update(f"{name}\n{hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()[:12]


def _names(data: Path, root: Path) -> list[str]:
    """Relative names of the pictures, sorted."""
    from degrain.files import is_picture

    if data.is_file():
        return [data.name]
    if not data.is_dir():
        msg = f"There is no folder {data}; give a folder with clean pictures."
        raise UsageError(msg)
    paths = (path for path in data.rglob("*") if path.is_file() and is_picture(path))
    return sorted(path.relative_to(root).as_posix() for path in paths)


def _chosen(names: Sequence[str], ids: Path) -> list[str]:
    """The names listed in a file, all of which must exist."""
    try:
        lines = ids.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"The list {ids} cannot be read ({error}); give a text file with one name a line."
        raise UsageError(msg) from error
    words = [line.split("#")[0].split() for line in lines]
    wanted = {word[0] for word in words if word}
    found = [name for name in names if Path(name).stem in wanted]
    missing = wanted - {Path(name).stem for name in found}
    if missing:
        some = ", ".join(sorted(missing)[:3])
        msg = f"{len(missing)} pictures listed in {ids} are not there ({some}); check the folder."
        raise UsageError(msg)
    return found


def _one_of(what: str, value: str, known: Mapping[str, str]) -> None:
    if value not in known:
        msg = f"Unknown {what} {value!r}; use {' or '.join(known)}."
        raise UsageError(msg)
