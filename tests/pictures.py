"""Pictures, file headers and comparisons that several test files share."""

from __future__ import annotations

import numpy as np

from degrain import libvips, tiff
from degrain.picture import Picture


def smooth(height, width, channels=3):
    y, x = np.mgrid[:height, :width]
    return np.stack([(x * (c + 1) + y) % 256 for c in range(channels)], axis=-1).astype(np.uint8)


def write_random(folder, names, shape=(24, 24, 3), seed=0):
    """PNG files of random gray (H×W) or RGB (H×W×3) values, away from black and white."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for name in names:
        pixels = rng.integers(60, 200, shape, dtype=np.uint8)
        vips_image(pixels).write_to_file(str(folder / f"{name}.png"))
    return folder


def vips_image(array, **fields):
    """A libvips image of an array, with header fields; made without degrain."""
    vips = libvips.load()
    image = vips.Image.new_from_array(array)
    deep = array.dtype == np.uint16
    if array.ndim == 3 and array.shape[2] >= 3 and array.dtype.kind == "u":
        image = image.copy(interpretation="rgb16" if deep else "srgb")
    gvalue = vips.GValue
    kinds = {bytes: gvalue.blob_type, str: gvalue.gstr_type, int: gvalue.gint_type}
    for name, value in fields.items():
        image.set_type(kinds[type(value)], name.replace("_", "-"), value)
    return image


def header(path):
    image = libvips.load().Image.new_from_file(str(path))
    return {name: image.get(name) for name in image.get_fields()}


def assert_same(one: Picture, other: Picture):
    assert one.dtype == other.dtype
    assert len(one.pages) == len(other.pages)
    for mine, yours in zip(one.pages, other.pages, strict=True):
        np.testing.assert_array_equal(mine, yours)
    assert (one.alphas is None) == (other.alphas is None)
    for mine, yours in zip(one.alphas or (), other.alphas or (), strict=True):
        np.testing.assert_array_equal(mine, yours)


def tiff_exif(path):
    with path.open("rb") as file:
        _, directory = tiff.first_directory(file)
    return directory
