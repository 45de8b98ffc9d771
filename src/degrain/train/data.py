"""Training pictures: packed into one file, resident on the device, cut into crops there.

All pictures lie one after another in a single flat tensor, so that a batch of crops is one
gather, on a CPU as on a GPU, and training needs only torch and numpy once a pack exists.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrain.depth import unit_floats
from degrain.errors import TrainingError
from degrain.train.whole import whole_file

_DAMAGE = (ValueError, TypeError, AttributeError, EOFError, zlib.error, zipfile.BadZipFile)
"""What NumPy raises on files that are no archives, cut off, or hold other arrays."""

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
AVERAGE = np.array([1 / 3, 1 / 3, 1 / 3], dtype=np.float32)  # Jain & Seung 2008, Sec. 3
GRAY_WEIGHTS = {"luma": LUMA, "average": AVERAGE}


@dataclass(frozen=True, slots=True)
class Pack:
    """Pictures in host memory.

    Attributes:
        names: file names, for people and for the validation split.
        sources: for each picture the number of the folder it came from.
        pictures: H×W×C arrays, uint8, uint16 or float32, all of one dtype.
    """

    names: tuple[str, ...]
    sources: tuple[int, ...]
    pictures: tuple[NDArray[Any], ...]

    def subset(self, keep: Sequence[int]) -> Pack:
        """Only the pictures at these positions."""
        return Pack(
            tuple(self.names[i] for i in keep),
            tuple(self.sources[i] for i in keep),
            tuple(self.pictures[i] for i in keep),
        )


def pack(folders: Sequence[Path], output: Path, shrink: int = 1) -> Pack:
    """Read every picture below `folders` and write them to one compressed `.npz` file.

    Args:
        folders: searched with the folders inside.
        output: the file.
        shrink: how many times smaller pictures get. Grain in a clean picture teaches a network to
            leave grain in; the mean of N×N pixels has less of it.

    Raises:
        TrainingError: a folder has no pictures, or none is left of one that gets smaller.
    """
    packed = read_folders(folders)
    if shrink > 1:
        smaller = tuple(_shrunk(picture, shrink) for picture in packed.pictures)
        packed = replace(packed, pictures=smaller)
    sizes = np.array([picture.shape for picture in packed.pictures], dtype=np.int64)
    flat = np.concatenate([picture.reshape(-1) for picture in packed.pictures])
    with whole_file(output, "pack") as partial:
        np.savez_compressed(
            partial,
            names=np.array(packed.names),
            sources=np.array(packed.sources),
            sizes=sizes,
            pixels=flat,
        )
    return packed


def _shrunk(picture: NDArray[Any], shrink: int) -> NDArray[Any]:
    """H×W×C in means of N×N pixels, rounded where they are integers; what is left over is cut."""
    height, width = (size // shrink for size in picture.shape[:2])
    if not height or not width:
        msg = (
            f"A picture of {picture.shape[1]}×{picture.shape[0]} cannot get {shrink} times smaller."
        )
        raise TrainingError(msg)
    cut = picture[: height * shrink, : width * shrink]
    blocks = cut.reshape(height, shrink, width, shrink, -1).astype(np.float32)
    means: NDArray[Any] = blocks.mean(axis=(1, 3))
    return (np.rint(means) if picture.dtype.kind == "u" else means).astype(picture.dtype)


def load(data: Sequence[Path]) -> Pack:
    """Read packs (`.npz`) and folders of pictures into one Pack.

    Raises:
        TrainingError: nothing there, or a pack is damaged.
    """
    packs = [_read_pack(path) if path.suffix == ".npz" else read_folders([path]) for path in data]
    names = tuple(name for part in packs for name in part.names)
    sources: list[int] = []
    for part in packs:
        offset = max(sources, default=-1) + 1
        sources.extend(offset + source for source in part.sources)
    pictures = _one_dtype([picture for part in packs for picture in part.pictures])
    return Pack(names, tuple(sources), tuple(pictures))


def read_folders(folders: Sequence[Path]) -> Pack:
    """Read every picture below `folders`, recursively, in the order of their names."""
    from degrain import files

    names, sources, pictures = [], [], []
    for source, folder in enumerate(folders):
        for path in _paths(folder):
            for page in files.read(path).pages:
                names.append(path.name)
                sources.append(source)
                pictures.append(page)
    return Pack(tuple(names), tuple(sources), tuple(_one_dtype(pictures)))


def _paths(folder: Path) -> list[Path]:
    from degrain import files

    paths = sorted(path for path in folder.rglob("*") if files.is_picture(path))
    if not paths:
        msg = f"No pictures in {folder}; name a folder with JPEG, PNG, TIFF or WebP files."
        raise TrainingError(msg)
    return paths


def split(packed: Pack, every: int = 20) -> tuple[Pack, Pack]:
    """Divide into training and validation pictures: every 20th, in order of source and name."""
    order = sorted(range(len(packed.names)), key=lambda i: (packed.sources[i], packed.names[i]))
    held_out = set(order[::every]) if len(order) > 1 else set()
    train = [i for i in order if i not in held_out]
    return packed.subset(train), packed.subset(sorted(held_out))


def to_channels(picture: NDArray[Any], channels: int, gray: str = "luma") -> NDArray[Any]:
    """H×W×C picture with 1 or 3 channels; gray by `luma` or `average`, rounded for integers."""
    if picture.shape[2] == channels:
        return picture
    if channels == 3:
        return np.repeat(picture, 3, axis=2)
    mixed = picture.astype(np.float32) @ GRAY_WEIGHTS[gray]
    if picture.dtype.kind == "u":
        mixed = np.rint(mixed)
    return mixed.astype(picture.dtype)[..., None]


class CropSource:
    """Draws random crops from pictures that lie on the training device.

    Every folder is drawn equally often; within a folder, pictures by their area. Each crop is
    turned and mirrored into one of its eight orientations.

    Args:
        packed: pictures; those smaller than the crop are left out.
        channels: 1 or 3.
        crop: side of the crops in pixels.
        gray: conversion where the net is gray and the picture is not.
        device: where the pictures live and the crops are made.
        targets: clean pictures of the same sizes, when `packed` holds real noisy ones.
        distinct: no two crops of one draw come from the same picture.
    """

    def __init__(
        self,
        packed: Pack,
        *,
        channels: int,
        crop: int,
        gray: str = "luma",
        device: torch.device | str = "cpu",
        targets: Pack | None = None,
        distinct: bool = False,
    ) -> None:
        keep = [i for i, p in enumerate(packed.pictures) if min(p.shape[:2]) >= crop]
        if not keep:
            msg = f"No picture is at least {crop}×{crop} pixels; use larger ones or --crop."
            raise TrainingError(msg)
        packed = packed.subset(keep)
        sizes = np.array([picture.shape[:2] for picture in packed.pictures], dtype=np.int64)
        areas = sizes.prod(axis=1)
        self.crop = crop
        self.distinct = distinct
        self.sizes = torch.from_numpy(sizes).to(device)
        self.starts = torch.from_numpy(np.cumsum(areas) - areas).to(device)
        self.weights = torch.from_numpy(_shares(packed.sources, areas)).to(device)
        self.flats = [_flat(packed, channels, gray, device)]
        if targets is not None:
            self.flats.append(_flat(targets.subset(keep), channels, gray, device))

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Crops N×C×S×S as float32 in 0..1: (clean,) or (noisy, clean) for pairs."""
        return self.draw_surrounded(count, generator, border=0)[0]

    def draw_surrounded(
        self, count: int, generator: torch.Generator, border: int
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Crops with `border` more pixels on every side, as far as the picture goes.

        Returns:
            The crops, N×C×T×T with T = S + 2·border, where pixels outside of the picture repeat
            its edge; and a mask N×1×T×T, True inside of the picture.
        """
        index_ntt = self._draw_indices(count, generator, border)
        inside = index_ntt >= 0
        index_ntt = torch.where(inside, index_ntt, ~index_ntt)
        crops = tuple(_to_unit(flat[index_ntt]).movedim(-1, 1) for flat in self.flats)
        return crops, inside[:, None]

    def _draw_indices(self, count: int, generator: torch.Generator, border: int) -> Tensor:
        """Places in the flat tensors; ~place (negative) for pixels outside of the picture."""
        device = self.starts.device
        which = torch.multinomial(
            self.weights, count, replacement=not self.distinct, generator=generator
        )
        place = torch.rand(count, 2, generator=generator, device=device)
        turn = torch.randint(8, (count, 1, 1), generator=generator, device=device)
        sizes = self.sizes[which]
        corner = (place * (sizes - self.crop + 1)).long()
        steps = torch.arange(-border, self.crop + border, device=device)
        places = corner[:, :, None] + steps  # row and column, N×2×T
        nearest = torch.minimum(places.clamp(min=0), sizes[:, :, None] - 1)
        index = nearest[:, 0, :, None] * sizes[:, 1, None, None] + nearest[:, 1, None, :]
        index = index + self.starts[which][:, None, None]
        inside = places == nearest
        index = torch.where(inside[:, 0, :, None] & inside[:, 1, None, :], index, ~index)
        index = torch.where(turn & 1 > 0, index.flip(1), index)
        index = torch.where(turn & 2 > 0, index.flip(2), index)
        return torch.where(turn & 4 > 0, index.mT, index)


def read_pairs(noisy: Path, clean: Path) -> tuple[Pack, Pack]:
    """Read two folders whose pictures belong together by their path inside, without suffix.

    Returns:
        Noisy and clean pictures in the same order and with the same names.

    Raises:
        TrainingError: a picture has no partner or two, or partners differ in size.
    """
    sides = [_by_place(folder) for folder in (noisy, clean)]
    lonely = sorted(set(sides[0]) ^ set(sides[1]))
    if lonely:
        msg = f"{lonely[0]} has no partner in the other folder; name both files alike."
        raise TrainingError(msg)
    places = sorted(sides[0])
    packs = []
    for side in sides:
        pages = _one_dtype([side[place] for place in places])
        packs.append(Pack(tuple(places), (0,) * len(places), tuple(pages)))
    for place, a, b in zip(places, packs[0].pictures, packs[1].pictures, strict=True):
        if a.shape[:2] != b.shape[:2]:
            msg = f"The two pictures named {place} differ in size; pairs must match pixel by pixel."
            raise TrainingError(msg)
    return packs[0], packs[1]


def _by_place(folder: Path) -> dict[str, NDArray[Any]]:
    """The pictures of a folder by their path inside, without suffix; later pages with a number."""
    from degrain import files

    found: dict[str, NDArray[Any]] = {}
    for path in _paths(folder):
        place = path.relative_to(folder).with_suffix("").as_posix()
        if place in found:
            msg = f"{folder} holds two pictures named {place}; pairs must be unique."
            raise TrainingError(msg)
        for number, page in enumerate(files.read(path).pages):
            found[f"{place}, page {number + 1}" if number else place] = page
    return found


def _read_pack(path: Path) -> Pack:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            names, sources = content["names"], content["sources"]
            sizes, pixels = content["sizes"], content["pixels"]
        ends = np.cumsum(sizes.prod(axis=1))
        parts = np.split(pixels, ends[:-1])
        pictures = tuple(part.reshape(size) for part, size in zip(parts, sizes, strict=True))
    except (*_DAMAGE, OSError, KeyError) as error:
        msg = f"{path} is no pack of pictures ({error}); make one with `degrain pack`."
        raise TrainingError(msg) from error
    return Pack(tuple(map(str, names)), tuple(map(int, sources)), pictures)


def _one_dtype(pictures: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Leave pictures of one depth alone; turn a mixture into floats in 0..1."""
    if len({picture.dtype for picture in pictures}) <= 1:
        return pictures
    return [unit_floats(picture) for picture in pictures]


def _shares(sources: tuple[int, ...], areas: NDArray[np.int64]) -> NDArray[np.float64]:
    source = np.array(sources)
    totals = np.bincount(source, weights=areas)
    shares: NDArray[np.float64] = areas / totals[source]
    shares /= shares.sum()
    return shares


def _flat(packed: Pack, channels: int, gray: str, device: torch.device | str) -> Tensor:
    """All pixels as one tensor total×C: bytes where they suffice, else floats."""
    parts = [to_channels(p, channels, gray).reshape(-1, channels) for p in packed.pictures]
    if parts[0].dtype != np.uint8:
        parts = [unit_floats(part) for part in parts]
    return torch.from_numpy(np.concatenate(parts)).to(device)


def _to_unit(crops: Tensor) -> Tensor:
    return crops.float() / 255 if crops.dtype == torch.uint8 else crops
