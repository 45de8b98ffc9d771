"""Suites: which pictures, which noise, by which rules. The rules travel with every number."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from degrain.bench.datasets import DATA_SETS, find_data_set
from degrain.depth import unit_floats
from degrain.errors import PictureError, UsageError
from degrain.formats import is_picture_name
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
NOISE = ("gaussian:15", "gaussian:25", "gaussian:50")
POISSON = ("poisson:4", "poisson:30", "poisson-gaussian:0.01,0.02", "poisson-gaussian:0.04,0.04")
QUICK_PICTURES, QUICK_CROP_PX = 5, 256
PART = "central "
"""Begins what rules say of pictures of which only the middle is judged."""

REAL = "real"
"""Stands for a noise spec where the noisy pictures are real ones."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A suite by name.

    Attributes:
        gray: are the pictures made gray?
        data_set: name in `DATA_SETS`; None: the pictures of the folder that is given.
        noise: specs, unless others are asked for.
    """

    gray: bool
    data_set: str | None = None
    noise: tuple[str, ...] = NOISE


PRESETS: Mapping[str, Preset] = {
    "gray": Preset(gray=True),
    "color": Preset(gray=False),
    **{name: Preset(gray=True, data_set=name) for name in DATA_SETS},
    **{
        f"{name}-color": Preset(gray=False, data_set=name)
        for name, found in DATA_SETS.items()
        if found.color
    },
    "photons": Preset(gray=True, noise=POISSON),
    "photons-color": Preset(gray=False, noise=POISSON),
}
"""Named suites; `photons` is Poisson and Poisson-Gaussian noise on any folder."""


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
        noisy_root: folder with real noisy pictures of the same names; None: noise is added.
        noisy_data: hash of those.
        crop_px: judge only the central square of this side; None: whole pictures.
    """

    root: Path
    names: tuple[str, ...]
    noise: tuple[str, ...]
    gray: bool
    conversion: str
    protocol: str
    seed: int
    data: str
    noisy_root: Path | None = None
    noisy_data: str = ""
    crop_px: int | None = None

    @property
    def rules(self) -> str:
        """The protocol string of every row measured here."""
        kind = f"gray ({self.conversion})" if self.gray else "RGB"
        if self.noisy_root is not None:
            noise = f"real noisy pictures, data {self.noisy_data}"
        else:
            noise = f"{PROTOCOLS[self.protocol]}; seed {self.seed}"
        part = f"{PART}{self.crop_px}×{self.crop_px} pixels; " if self.crop_px else ""
        return (
            f"{kind}; {part}{noise}; "
            f"output neither clipped nor rounded; PSNR over all pixels and channels; "
            f"{len(self.names)} pictures, data {self.data}"
        )

    def ranked(self) -> list[str]:
        """The pictures in an order that depends on each one's name alone, not on the others."""
        return sorted(self.names, key=lambda name: hashlib.sha256(name.encode()).digest())

    def clean(self, name: str) -> Floats:
        """The clean picture in 0..1: H×W if gray, else H×W×3.

        Raises:
            PictureError: it cannot be read, or is gray where color is judged.
        """
        return self._read(self.root / name)

    def _read(self, path: Path) -> Floats:
        from degrain.files import read

        pixels = self._part(unit_floats(read(path).pages[0]))
        if self.gray:
            return to_gray(pixels, self.conversion)
        if pixels.shape[2] != 3:
            msg = f"{path} is gray, but color is judged; use the gray suite."
            raise PictureError(msg)
        return pixels

    def _part(self, pixels: Floats) -> Floats:
        """The central square, or all."""
        if self.crop_px is None:
            return pixels
        window = tuple(_middle(n, self.crop_px) for n in pixels.shape[:2])
        return np.ascontiguousarray(pixels[window])

    def noisy(self, clean: Floats, name: str, spec: str) -> Floats:
        """The noisy picture, always the same one for this seed, name and spec.

        Raises:
            PictureError: a real one that cannot be read or has another size.
        """
        if self.noisy_root is not None:
            return self._real(clean, name)
        noisy = parse_noise(spec).add(clean, random_source(self.seed, name, spec))
        if self.protocol == "clip8":
            noisy = np.rint(np.clip(noisy, 0, 1) * np.float32(255)) / np.float32(255)
        return noisy

    def _real(self, clean: Floats, name: str) -> Floats:
        path = self.noisy_root / name if self.noisy_root else Path(name)
        noisy = self._read(path)
        if noisy.shape != clean.shape:
            (height, width), (rows, columns) = clean.shape[:2], noisy.shape[:2]
            msg = (
                f"{path} has {columns}×{rows} pixels, but the clean picture has {width}×{height}; "
                "a pair must show the same pixels."
            )
            raise PictureError(msg)
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
    noisy: Path | None = None,
    crop_px: int | None = None,
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
        noisy: folder of real noisy pictures with the names of the clean ones; no noise is added.
        crop_px: judge only the central square of this side.

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
    suite = Suite(root, tuple(names), specs, gray, conversion, protocol, seed, hashed)
    suite = replace(suite, crop_px=crop_px)
    if noisy is None:
        return suite
    _check_pairs(root, noisy, names)
    found = data_hash(noisy, names)
    return replace(suite, noise=(REAL,), protocol=REAL, noisy_root=noisy, noisy_data=found)


def named_suite(
    name: str,
    data: Path,
    *,
    noise: Sequence[str] = (),
    ids: Path | None = None,
    quick: bool = False,
    limit: int | None = None,
    noisy: Path | None = None,
    conversion: str = "luma",
    protocol: str = "float",
    seed: int = 0,
) -> Suite:
    """The suite of this name, its data set looked for below `data`.

    Args:
        name: one of `PRESETS`.
        data: the folder of pictures, or one that holds the data set somewhere below.
        noise: specs instead of the preset's.
        ids: list of the pictures instead of the data set's own.
        quick: a taste: the first `QUICK_PICTURES`, their middles only, one noise.
        limit: see `make_suite`, like the rest.
        noisy: see `make_suite`.
        conversion: see `make_suite`.
        protocol: see `make_suite`.
        seed: see `make_suite`.

    Raises:
        UsageError: the data set is not there, or something else asked for does not exist.
    """
    preset = PRESETS[name]
    if preset.data_set is not None:
        data, listed = find_data_set(preset.data_set, data) if ids is None else (data, ids)
        ids = ids or listed
    specs = tuple(noise) or preset.noise
    return make_suite(
        data,
        noise=specs[1:2] or specs if quick and not noise else specs,
        gray=preset.gray,
        conversion=conversion,
        ids=ids,
        protocol=protocol,
        seed=seed,
        limit=QUICK_PICTURES if quick and limit is None else limit,
        noisy=noisy,
        crop_px=QUICK_CROP_PX if quick else None,
    )


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


def read_ids(ids: Path) -> frozenset[str]:
    """The pictures a text file lists: names with or without suffix, the first word of each line.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        lines = ids.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"The list {ids} cannot be read ({error}); give a text file with one name a line."
        raise UsageError(msg) from error
    words = [line.split("#")[0].split() for line in lines]
    names = (Path(word[0]) for word in words if word)
    return frozenset(name.stem if is_picture_name(name) else str(name) for name in names)


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
    wanted = read_ids(ids)
    found = [name for name in names if Path(name).stem in wanted]
    missing = wanted - {Path(name).stem for name in found}
    if missing:
        some = ", ".join(sorted(missing)[:3])
        msg = f"{len(missing)} pictures listed in {ids} are not there ({some}); check the folder."
        raise UsageError(msg)
    return found


def _check_pairs(clean: Path, noisy: Path, names: Sequence[str]) -> None:
    """Every clean picture must have its noisy one; more noisy ones are an oversight too."""
    if not noisy.is_dir():
        msg = f"There is no folder {noisy}; give the folder of the real noisy pictures."
        raise UsageError(msg)
    missing = [name for name in names if not (noisy / name).is_file()]
    left = set(_names(noisy, noisy)) - set(_names(clean, clean))
    wrong = missing or sorted(left)
    if wrong:
        place, other = (noisy, clean) if missing else (clean, noisy)
        msg = (
            f"The folders do not match: {len(wrong)} pictures of {other} are not in {place} "
            f"({', '.join(wrong[:3])}); the two of a pair must have the same name."
        )
        raise UsageError(msg)


def _middle(length: int, wanted: int) -> slice:
    start = max(0, (length - wanted) // 2)
    return slice(start, start + min(length, wanted))


def _one_of(what: str, value: str, known: Mapping[str, str]) -> None:
    if value not in known:
        msg = f"Unknown {what} {value!r}; use {' or '.join(known)}."
        raise UsageError(msg)
