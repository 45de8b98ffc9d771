"""What microscopes and ImageJ write into TIFF files: units, stacks, channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from degrain import files, tiff
from degrain.errors import PictureError

tifffile = pytest.importorskip("tifffile")
PLANES = np.arange(4 * 20 * 30, dtype=np.uint16).reshape(4, 20, 30)
UNIT_NONE, INCH = 1, 2


def resolutions(path: Path) -> list[tuple[Any, ...]]:
    with tifffile.TiffFile(path) as file:
        return [tuple(page.tags[tag].value for tag in (282, 283, 296)) for page in file.pages]


def copied(source: Path) -> Path:
    target = source.with_name("out.tif")
    files.write(files.read(source), target)
    return target


@pytest.mark.parametrize("order", "<>")
def test_pixels_keep_their_size_in_micrometers(tmp_path: Path, order: str) -> None:
    source = tmp_path / "stack.tif"
    metadata = {"axes": "ZYX", "unit": "um"}
    tifffile.imwrite(
        source, PLANES, imagej=True, byteorder=order, resolution=(5, 2), metadata=metadata
    )
    assert resolutions(source)[0] == ((5, 1), (2, 1), UNIT_NONE)
    target = copied(source)
    assert resolutions(target) == resolutions(source)
    with tifffile.TiffFile(target) as file:
        assert file.is_imagej
        assert file.imagej_metadata["unit"] == "um"
        np.testing.assert_array_equal(file.asarray(), PLANES)


def test_every_page_keeps_its_own_resolution(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "in.tif") as file:
        for page, dpi in zip(PLANES, (100, 200, 300, 400), strict=True):
            file.write(page, resolution=(dpi, dpi), resolutionunit=INCH, metadata=None)
    found = resolutions(copied(tmp_path / "in.tif"))
    assert [page[0] for page in found] == [(dpi, 1) for dpi in (100, 200, 300, 400)]


def test_a_turned_picture_has_its_resolution_turned(tmp_path: Path) -> None:
    turned = [(274, "H", 1, 6, True)]
    tifffile.imwrite(tmp_path / "in.tif", PLANES[0], resolution=(300, 150), extratags=turned)
    (found,) = resolutions(copied(tmp_path / "in.tif"))
    assert found[:2] == ((150, 1), (300, 1))


@pytest.mark.parametrize("by", [{"imagej": True}, {}])
def test_stacks_with_one_directory_are_refused(tmp_path: Path, by: dict[str, Any]) -> None:
    source = tmp_path / "large.tif"
    tifffile.imwrite(source, PLANES, truncate=True, photometric="minisblack", **by)
    with pytest.raises(PictureError, match="a stack of 4 planes of which only the first"):
        files.read(source)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (1, 20, 30)])
def test_single_pictures_are_no_stacks(tmp_path: Path, shape: tuple[int, ...]) -> None:
    tifffile.imwrite(tmp_path / "in.tif", np.zeros(shape, np.uint8))
    assert len(files.read(tmp_path / "in.tif").pages) == 1


@pytest.mark.parametrize(("count", "photometric"), [(2, "minisblack"), (4, "rgb")])
def test_a_further_channel_is_no_transparency(tmp_path: Path, count: int, photometric: str) -> None:
    """Infrared of film scanners, masks of Photoshop, a second dye."""
    channels = np.moveaxis(PLANES[:count], 0, -1)
    given = {"photometric": photometric, "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "other.tif", channels, extrasamples=["unspecified"], **given)
    with pytest.raises(PictureError, match=f"{count} channels, and the last is no transparency"):
        files.read(tmp_path / "other.tif")
    tifffile.imwrite(tmp_path / "alpha.tif", channels, extrasamples=["unassalpha"], **given)
    assert files.read(tmp_path / "alpha.tif").alphas is not None


def test_where_on_earth_a_picture_lies_is_kept(tmp_path: Path) -> None:
    place = {33550: (30.0, 30.0, 0.0), 33922: (0.0, 0.0, 0.0, 4e5, 5e6, 0.0)}
    tags = [(tag, "d", len(values), values, True) for tag, values in place.items()]
    tags += [(34735, "H", 4, (1, 1, 0, 0), True), (42113, "s", 0, "-9999", True)]
    tifffile.imwrite(tmp_path / "in.tif", PLANES[0], extratags=tags)
    with tifffile.TiffFile(copied(tmp_path / "in.tif")) as file:
        found = {tag.code: tag.value for tag in file.pages[0].tags}
    assert {tag: found[tag] for tag in place} == place
    assert (found[34735], found[42113]) == ((1, 1, 0, 0), "-9999")


def test_12_bits_are_no_damage(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", PLANES[0])
    with (tmp_path / "in.tif").open("r+b") as file:
        file.seek(tiff.first_directory(file)[1].entries[tiff.BITS_PER_SAMPLE].at)
        file.write((12).to_bytes(2, "little"))
    with pytest.raises(PictureError, match="12-bit samples, which are not read"):
        files.read(tmp_path / "in.tif")


def test_lab_in_8_bits_is_refused_with_a_way_out(tmp_path: Path) -> None:
    lab = np.full((8, 8, 3), 128, np.uint8)
    tifffile.imwrite(tmp_path / "lab.tif", lab, photometric="cielab")
    with pytest.raises(PictureError, match="8-bit Lab, which is not read; save it as 16-bit"):
        files.read(tmp_path / "lab.tif")
