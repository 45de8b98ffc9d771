"""Profiles, EXIF, XMP, resolution and orientation survive; thumbnails do not."""

from __future__ import annotations

import struct
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest

from degrain import exif, files, iptc, libvips, tiff
from degrain.errors import PictureError
from degrain.picture import Picture
from pictures import assert_same, header, smooth, tiff_exif, vips_image

ICC_FIELD = "icc-profile-data"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'


def exif_fields(**extra):
    """Header fields that make libvips write EXIF."""
    make = "Testcam (Testcam, ASCII, 8 components, 8 bytes)"
    exposure = "1/250 (1/250 sec., Rational, 1 components, 8 bytes)"
    return {"exif-ifd0-Make": make, "exif-ifd2-ExposureTime": exposure, **extra}


def metadata_source(tmp_path, suffix, **extra):
    """A picture file with everything in its header, written without degrain."""
    vips = libvips.load()
    profile = vips.Image.new_from_array(smooth(4, 4)).copy(interpretation="srgb")
    profile = profile.icc_export(output_profile="p3") if hasattr(profile, "icc_export") else profile
    icc = profile.get(ICC_FIELD)
    image = vips_image(smooth(24, 40), **exif_fields(**extra))
    for name, value in ((ICC_FIELD, icc), ("xmp-data", XMP)):
        image.set_type(vips.GValue.blob_type, name, value)
    path = tmp_path / f"source{suffix}"
    image.copy(xres=300 / 25.4, yres=300 / 25.4).write_to_file(str(path))
    return path, icc


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_metadata_survives(tmp_path, suffix):
    source, icc = metadata_source(tmp_path, suffix)
    target = tmp_path / f"target{suffix}"
    files.write(files.read(source), target)
    before, after = header(source), header(target)
    assert after[ICC_FIELD] == icc
    assert after["xmp-data"] == XMP.replace(b'"6"', b'"1"')
    assert after["xres"] == pytest.approx(before["xres"], rel=1e-3)
    if suffix != ".tif":
        assert after["exif-ifd0-Make"] == before["exif-ifd0-Make"]
        assert after["exif-ifd2-ExposureTime"] == before["exif-ifd2-ExposureTime"]


def test_exif_goes_from_jpeg_to_tiff_and_back(tmp_path):
    source, _ = metadata_source(tmp_path, ".jpg")
    files.write(files.read(source), tmp_path / "middle.tif")
    directory = tiff_exif(tmp_path / "middle.tif")
    assert directory.entries[271].data == b"Testcam\x00"
    assert directory.children[tiff.EXIF_IFD].entries[33434].data == struct.pack("<II", 1, 250)
    assert_same(files.read(tmp_path / "middle.tif"), files.read(source))
    files.write(files.read(tmp_path / "middle.tif"), tmp_path / "second.tif")
    assert tiff_exif(tmp_path / "second.tif").entries[271].data == b"Testcam\x00"
    files.write(files.read(tmp_path / "second.tif"), tmp_path / "end.jpg")
    end = header(tmp_path / "end.jpg")
    assert end["exif-ifd0-Make"].startswith("Testcam")
    assert end["exif-ifd2-ExposureTime"].startswith("1/250")


def test_exif_in_tiff_is_what_pillow_reads(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    source, _ = metadata_source(tmp_path, ".jpg")
    files.write(files.read(source), tmp_path / "out.tif")
    with pillow.open(tmp_path / "out.tif") as image:
        exif = image.getexif()
        assert exif[271] == "Testcam"
        assert exif.get_ifd(tiff.EXIF_IFD)[33434] == pytest.approx(1 / 250)
        np.testing.assert_array_equal(np.asarray(image), files.read(source).pages[0])


@pytest.mark.parametrize("big", [False, True])
def test_exif_is_embedded_in_either_byte_order(tmp_path, big):
    little = tiff.Layout("<", big=False)
    child = tiff.Directory({33434: tiff.Entry(5, struct.pack("<II", 3, 500), little)})
    camera = tiff.Entry(2, b"Some camera\x00", little)
    given = tiff.Directory({272: camera}, {tiff.EXIF_IFD: child})
    exif = tiff.exif_of(given)
    order = ">"
    blank = tiff.Directory({256: tiff.Entry(3, struct.pack(">H", 5), tiff.Layout(order, big))})
    start = (
        struct.pack(">2sHHHQ", b"MM", 43, 8, 0, 16) if big else struct.pack(">2sHI", b"MM", 42, 8)
    )
    file = BytesIO(start + tiff._pack(blank, tiff.Layout(order, big), len(start)))
    tiff.embed(file, exif, {})
    layout, directory = tiff.first_directory(file)
    assert layout == tiff.Layout(order, big)
    assert directory.entries[256].numbers() == (5,)
    assert directory.entries[272].data == b"Some camera\x00"
    assert directory.children[tiff.EXIF_IFD].entries[33434].data == struct.pack(">II", 3, 500)


def test_a_broken_exif_block_is_ignored(tmp_path):
    picture = Picture((smooth(5, 5),), None, {"exif-data": b"Exif\x00\x00II*\x00\xff\xff\xff\xff"})
    files.write(picture, tmp_path / "out.tif")
    assert_same(files.read(tmp_path / "out.tif"), picture)


def test_a_picture_without_exif_gets_none(tmp_path):
    for suffix in (".jpg", ".png", ".webp"):
        path = tmp_path / f"bare{suffix}"
        files.write(Picture((smooth(9, 9),)), path)
        assert "exif-data" not in header(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_orientation_is_obeyed_and_reset_once(tmp_path, suffix, orientation):
    vips = libvips.load()
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {}
    vips_image(smooth(6, 10), **exif_fields(orientation=orientation)).write_to_file(
        str(source), **options
    )
    picture = files.read(source)
    upright = vips.Image.new_from_file(str(source)).autorot().numpy()
    np.testing.assert_array_equal(picture.pages[0], upright)
    files.write(picture, target)
    after = header(target)
    assert after.get("orientation", 1) == 1
    assert after.get("exif-ifd0-Orientation", "1").startswith("1")
    shown = vips.Image.new_from_file(str(target)).autorot().numpy()
    assert shown.shape == upright.shape
    if suffix != ".jpg":
        np.testing.assert_array_equal(shown, upright)


def test_thumbnails_are_dropped(tmp_path):
    thumbnail = files.write_bytes(Picture((smooth(8, 8),)), ".jpg")
    source = tmp_path / "in.jpg"
    vips_image(smooth(32, 32), **exif_fields(), **{"jpeg-thumbnail-data": thumbnail}).write_to_file(
        str(source)
    )
    assert "jpeg-thumbnail-data" in header(source)
    files.write(files.read(source), tmp_path / "out.jpg")
    assert "jpeg-thumbnail-data" not in header(tmp_path / "out.jpg")


def test_an_unknown_resolution_is_not_written_as_25_dpi(tmp_path):
    files.write(Picture((smooth(9, 9),)), tmp_path / "out.png")
    assert header(tmp_path / "out.png")["xres"] * 25.4 == pytest.approx(72, abs=0.1)


KEYWORD = b"\x1c\x02\x19\x00\x05beach"
AUTHOR = b"\x1c\x02\x50\x00\x04Anna"
THUMBNAIL = b"8BIM" + struct.pack(">HHI", iptc.THUMBNAILS[1], 0, 5) + b"small\x00"


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_iptc_notes_go_between_jpeg_and_tiff(tmp_path, suffix):
    pillow = pytest.importorskip("PIL.Image")
    from PIL import IptcImagePlugin

    notes = KEYWORD + AUTHOR
    block = iptc.in_photoshop_block(notes)
    picture = Picture((smooth(9, 9),), None, {"iptc-data": notes if suffix == ".tif" else block})
    for target in (f"one{suffix}", "two.tif", "three.jpg", "four.tif"):
        files.write(picture, tmp_path / target)
        with pillow.open(tmp_path / target) as image:
            found = IptcImagePlugin.getiptcinfo(image)
        assert found == {(2, 25): b"beach", (2, 80): b"Anna"}
        picture = files.read(tmp_path / target)


def test_a_photoshop_block_loses_its_thumbnail_only():
    notes = iptc.in_photoshop_block(KEYWORD)
    assert iptc.without_thumbnail(notes + THUMBNAIL) == notes
    assert iptc.bare(notes + THUMBNAIL) == KEYWORD
    assert iptc.bare(iptc.PHOTOSHOP + THUMBNAIL) == b""
    assert iptc.bare(KEYWORD) == iptc.without_thumbnail(KEYWORD) == KEYWORD
    assert iptc.bare(notes + b"8BIM\x04") == KEYWORD  # cut off: what is whole


@pytest.mark.parametrize(
    ("primaries", "transfer", "beside", "lost"),
    [(1, 13, b"", False), (2, 2, b"", False), (12, 16, b"", True), (12, 16, b"colrprof", False)],
)
def test_an_avif_in_other_colors_needs_a_profile(tmp_path, primaries, transfer, beside, lost):
    files.write(Picture((smooth(16, 16),)), tmp_path / "in.avif")
    box = b"colrnclx" + struct.pack(">HHHB", primaries, transfer, 0, 128) + beside
    with (tmp_path / "in.avif").open("ab") as file:  # libvips writes none to be changed
        file.write(struct.pack(">I", 8 + len(box)) + b"free" + box)
    if lost:
        with pytest.raises(PictureError, match="colors beyond sRGB"):
            files.read(tmp_path / "in.avif")
    else:
        assert files.read(tmp_path / "in.avif").pages


def exif_block(**numbers):
    """Rating, Orientation and, in the EXIF directory, size and a MakerNote."""
    layout = tiff.Layout(">", big=False)
    short = lambda n: tiff.Entry(3, struct.pack(">H", n), layout)  # noqa: E731
    note = tiff.Entry(7, b"nobody knows\x00", layout)
    sizes = dict(zip(tiff.PIXEL_SIZES, map(short, (40, 24)), strict=True))
    child = tiff.Directory({37500: note, **sizes})
    rating = {18246: short(4), exif.ORIENTATION: short(numbers.get("orientation", 1))}
    given = tiff.Directory(rating, {tiff.EXIF_IFD: child})
    return tiff.EXIF_HEADER + b"MM\x00*" + struct.pack(">I", 8) + tiff._pack(given, layout, 8)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_exif_comes_back_as_it_was(tmp_path, suffix):
    """libexif knows no Rating, and moves what a MakerNote points to."""
    turned = exif_block(orientation=6)
    vips = libvips.load()
    image = vips_image(smooth(24, 40)).copy()
    image.set_type(vips.GValue.blob_type, "exif-data", turned)
    image.write_to_file(str(tmp_path / f"plain{suffix}"))
    with (tmp_path / f"plain{suffix}").open("r+b") as file:
        exif.put_back(file, suffix[1:].replace("jpg", "jpeg"), turned)
    picture = files.read(tmp_path / f"plain{suffix}")
    assert picture.pages[0].shape[:2] == (40, 24)
    for target in ("out.jpg", "out.png", "out.webp"):
        files.write(picture, tmp_path / target)
        found = tiff_directory(header(tmp_path / target)["exif-data"])
        assert found.entries[18246].numbers() == (4,)
        assert found.entries[exif.ORIENTATION].numbers() == (1,)
        child = found.children[tiff.EXIF_IFD].entries
        assert (*(child[tag].numbers() for tag in tiff.PIXEL_SIZES),) == ((24,), (40,))
        assert child[37500].data == b"nobody knows\x00"


def tiff_directory(block):
    return tiff.first_directory(BytesIO(block.removeprefix(tiff.EXIF_HEADER)))[1]


def test_exif_that_was_changed_is_written_changed(tmp_path):
    source, _ = metadata_source(tmp_path, ".jpg")
    picture = files.read(source)
    make = "Othercam (Othercam, ASCII, 9 components, 9 bytes)"
    changed = replace(picture, metadata={**picture.metadata, "exif-ifd0-Make": make})
    files.write(changed, tmp_path / "out.jpg")
    assert header(tmp_path / "out.jpg")["exif-ifd0-Make"].startswith("Othercam")


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif"])
def test_a_file_without_exif_stays_as_it_is(tmp_path, kind):
    suffix = f".{kind}".replace("jpeg", "jpg")
    files.write(Picture((smooth(9, 9),)), tmp_path / f"bare{suffix}")
    before = (tmp_path / f"bare{suffix}").read_bytes()
    with (tmp_path / f"bare{suffix}").open("r+b") as file:
        exif.put_back(file, kind, exif_block())
    assert (tmp_path / f"bare{suffix}").read_bytes() == before


def test_a_block_too_large_for_jpeg_stays_libvips(tmp_path):
    source, _ = metadata_source(tmp_path, ".jpg")
    before = source.read_bytes()
    with source.open("r+b") as file:
        exif.put_back(file, "jpeg", bytes(70_000))
    assert source.read_bytes() == before
