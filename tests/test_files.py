"""Pictures survive reading and writing: pixels, depth, metadata, orientation."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from degrain import files, formats, libvips, tiff
from degrain.errors import PictureError
from degrain.picture import Picture
from pictures import assert_same, header, smooth, tiff_exif, vips_image

ICC_FIELD = "icc-profile-data"


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def noise(rng, height, width, channels, dtype):
    if np.dtype(dtype).kind == "f":
        return rng.normal(0.5, 2, (height, width, channels)).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max + 1, (height, width, channels)).astype(dtype)


LOSSLESS = [
    (suffix, dtype, channels, alpha)
    for suffix, dtypes in (
        (".png", ("uint8", "uint16")),
        (".tif", ("uint8", "uint16", "float32")),
        (".webp", ("uint8",)),
    )
    for dtype, channels, alpha in itertools.product(dtypes, (1, 3), (False, True))
    if suffix != ".webp" or channels == 3
]


@pytest.mark.parametrize(("suffix", "dtype", "channels", "alpha"), LOSSLESS)
@pytest.mark.parametrize("size", [(13, 21), (1, 1), (1, 500), (7, 3)])
def test_lossless_formats_give_the_same_pixels(tmp_path, rng, suffix, dtype, channels, alpha, size):
    alphas = (noise(rng, *size, 1, dtype),) if alpha else None
    picture = Picture((noise(rng, *size, channels, dtype),), alphas)
    path = tmp_path / f"picture{suffix}"
    files.write(picture, path)
    once = files.read(path)
    assert_same(once, picture)
    files.write(once, tmp_path / f"again{suffix}")
    assert_same(files.read(tmp_path / f"again{suffix}"), picture)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_bytes_are_like_files(tmp_path, suffix):
    picture = Picture((smooth(20, 30),))
    data = files.write_bytes(picture, suffix)
    path = tmp_path / f"picture{suffix}"
    files.write(picture, path)
    assert path.read_bytes() == data
    read = files.read_bytes(data)
    assert_same(read, files.read(path))
    assert files.suffix_of(read) == suffix


def test_suffix_of_a_picture_from_nowhere_is_png():
    assert files.suffix_of(Picture((smooth(2, 2),))) == ".png"


def test_content_counts_not_the_name(tmp_path):
    path = tmp_path / "really_a_jpeg.png"
    path.write_bytes(files.write_bytes(Picture((smooth(9, 9),)), ".jpg"))
    assert files.read(path).origin["format"] == "jpeg"


def test_palette_and_one_bit_are_expanded(tmp_path):
    image = vips_image(smooth(16, 16) // 128 * 255)
    image.write_to_file(str(tmp_path / "palette.png"), palette=True)
    palette = files.read(tmp_path / "palette.png")
    files.write(palette, tmp_path / "out.png")
    assert_same(files.read(tmp_path / "out.png"), palette)
    assert "palette" not in header(tmp_path / "out.png")
    bits = vips_image(smooth(16, 16, 1)) > 128
    for path, options in (("bits.png", {}), ("bits.tif", {"compression": "ccittfax4"})):
        bits.write_to_file(str(tmp_path / path), bitdepth=1, **options)
        page = files.read(tmp_path / path).pages[0]
        np.testing.assert_array_equal(page, bits.numpy()[..., np.newaxis])
        files.write(files.read(tmp_path / path), tmp_path / f"out_{path}")
        np.testing.assert_array_equal(files.read(tmp_path / f"out_{path}").pages[0], page)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_becomes_srgb(tmp_path, suffix):
    colors = np.repeat(smooth(8, 8), 4, axis=0) // 2 + 60
    cmyk = vips_image(colors).colourspace("cmyk")
    cmyk.write_to_file(str(tmp_path / f"cmyk{suffix}"))
    bare = cmyk.copy()
    bare.remove(ICC_FIELD)
    bare.write_to_file(str(tmp_path / f"bare{suffix}"))
    for name in ("cmyk", "bare"):
        picture = files.read(tmp_path / f"{name}{suffix}")
        assert picture.channels == 3
        assert picture.alphas is None
        assert np.abs(picture.pages[0].astype(int) - colors).mean() < 12
        files.write(picture, tmp_path / f"{name}.out.png")
        assert header(tmp_path / f"{name}.out.png")["interpretation"] == "srgb"


def test_lab_becomes_16_bit_srgb(tmp_path):
    colors = smooth(12, 12) // 2 + 60
    vips_image(colors).colourspace("lab").write_to_file(str(tmp_path / "lab.tif"))
    picture = files.read(tmp_path / "lab.tif")
    assert picture.dtype == np.uint16
    assert np.abs(picture.pages[0] / 257 - colors).max() < 2


@pytest.mark.parametrize("quality", [1, 5, 10, 25, 49, 50, 51, 75, 80, 90, 92, 95, 99, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_quality_is_estimated_exactly_for_libjpeg(quality, channels):
    image = vips_image(smooth(16, 16, channels))
    data = image.jpegsave_buffer(Q=quality)
    estimate = formats.jpeg_quality(BytesIO(data))
    if quality >= 5:
        assert estimate == quality
    else:
        # below this the tables are clipped, so several qualities have the same ones
        assert image.jpegsave_buffer(Q=estimate, keep="none") == image.jpegsave_buffer(
            Q=quality, keep="none"
        )


@pytest.mark.parametrize(("quality", "written"), [(60, 90), (91, 91), (97, 97), (100, 100)])
def test_jpeg_stays_at_least_as_good(tmp_path, quality, written):
    source, target = tmp_path / "in.jpg", tmp_path / "out.jpg"
    vips_image(smooth(16, 16)).write_to_file(str(source), Q=quality)
    files.write(files.read(source), target)
    with target.open("rb") as file:
        assert formats.jpeg_quality(file) == written


@pytest.mark.parametrize("subsampling", ["on", "off"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_structure_is_kept(tmp_path, subsampling, progressive):
    source, target = tmp_path / "in.jpg", tmp_path / "out.jpg"
    image = vips_image(smooth(32, 32))
    image.write_to_file(str(source), Q=85, subsample_mode=subsampling, interlace=progressive)
    files.write(files.read(source), target)
    for field in ("jpeg-chroma-subsample", "jpeg-multiscan"):
        assert header(target)[field] == header(source)[field]


def test_png_to_jpeg_is_good(tmp_path):
    (tmp_path / "in.png").write_bytes(files.write_bytes(Picture((smooth(16, 16),)), ".png"))
    files.write(files.read(tmp_path / "in.png"), tmp_path / "out.jpg")
    assert header(tmp_path / "out.jpg")["jpeg-chroma-subsample"] == "4:4:4"
    assert formats.jpeg_quality(BytesIO((tmp_path / "out.jpg").read_bytes())) == 95


def test_16_bits_are_rounded_for_8_bit_formats(tmp_path):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, axis=2)
    page = files.read_bytes(files.write_bytes(Picture((values,)), ".webp")).pages[0]
    np.testing.assert_array_equal(page, np.rint(values / 257).astype(np.uint8))
    flat = Picture((np.full((16, 16, 1), 200 * 257 - 128, np.uint16),))
    assert np.unique(files.read_bytes(files.write_bytes(flat, ".jpg")).pages[0]) == [200]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_transparency_lies_over_white_in_jpeg(dtype):
    black = np.zeros((16, 16, 3), dtype)
    picture = Picture((black,), (np.zeros((16, 16, 1), dtype),))
    assert files.read_bytes(files.write_bytes(picture, ".jpg")).pages[0].min() >= 254


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "packbits"])
def test_tiff_compression_and_tiles_are_kept(tmp_path, compression):
    source, target = tmp_path / "in.tif", tmp_path / "out.tif"
    vips_image(smooth(40, 40)).write_to_file(
        str(source), compression=compression, tile=True, tile_width=32, tile_height=16
    )
    files.write(files.read(source), target)
    for tag in (tiff.COMPRESSION, tiff.TILE_WIDTH, tiff.TILE_LENGTH):
        assert tiff_exif(target).entries[tag].numbers() == tiff_exif(source).entries[tag].numbers()


def test_jpeg_inside_tiff_becomes_lossless(tmp_path):
    vips_image(smooth(32, 32)).write_to_file(str(tmp_path / "in.tif"), compression="jpeg", Q=80)
    picture = files.read(tmp_path / "in.tif")
    files.write(picture, tmp_path / "out.tif")
    assert tiff_exif(tmp_path / "out.tif").entries[tiff.COMPRESSION].numbers() == (8,)
    assert_same(files.read(tmp_path / "out.tif"), picture)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("alpha", [False, True])
def test_every_page_of_a_tiff_is_kept(tmp_path, rng, dtype, alpha):
    pages = tuple(noise(rng, 9, 14, 3, dtype) for _ in range(4))
    alphas = tuple(noise(rng, 9, 14, 1, dtype) for _ in range(4)) if alpha else None
    picture = Picture(pages, alphas, {"exif-data": tiff_block()})
    files.write(picture, tmp_path / "pages.tif")
    assert header(tmp_path / "pages.tif")["n-pages"] == 4
    assert_same(files.read(tmp_path / "pages.tif"), picture)


def tiff_block():
    make = tiff.Entry(2, b"Testcam\x00", tiff.Layout("<", big=False))
    return tiff.exif_of(tiff.Directory({271: make}))


def test_animated_webp_keeps_frames_and_delays(tmp_path):
    vips = libvips.load()
    frames = [vips_image(smooth(8, 12) + np.uint8(40 * i)) for i in range(3)]
    roll = vips.Image.arrayjoin(frames, across=1).copy()
    roll.set_type(vips.GValue.gint_type, "page-height", 8)
    roll.set_type(vips.GValue.array_int_type, "delay", [100, 200, 300])
    roll.write_to_file(str(tmp_path / "in.webp"), lossless=True)
    picture = files.read(tmp_path / "in.webp")
    assert len(picture.pages) == 3
    assert picture.origin["lossless"]
    files.write(picture, tmp_path / "out.webp")
    assert header(tmp_path / "out.webp")["delay"] == [100, 200, 300]
    assert_same(files.read(tmp_path / "out.webp"), picture)


def test_lossy_webp_stays_lossy_and_good(tmp_path):
    vips_image(smooth(40, 40)).write_to_file(str(tmp_path / "in.webp"), Q=80)
    picture = files.read(tmp_path / "in.webp")
    assert not picture.origin["lossless"]
    files.write(picture, tmp_path / "out.webp")
    again = files.read(tmp_path / "out.webp")
    assert not again.origin["lossless"]
    assert np.abs(again.pages[0].astype(int) - picture.pages[0]).mean() < 4


def test_avif_keeps_its_depth(tmp_path):
    y, x = np.mgrid[:16, :16]
    ramp = np.stack([y * 16, x * 16, (x + y) * 8], axis=-1)
    for dtype, bits, scale in (("uint8", 8, 1), ("uint16", 10, 257)):
        source, target = tmp_path / f"in{bits}.avif", tmp_path / f"out{bits}.avif"
        vips_image((ramp * scale).astype(dtype)).write_to_file(
            str(source), Q=95, bitdepth=bits, effort=0
        )
        picture = files.read(source)
        files.write(picture, target)
        again = files.read(target)
        assert again.dtype == picture.dtype == np.dtype(dtype)
        assert again.origin["bits"] == bits
        difference = np.abs(again.pages[0].astype(int) - picture.pages[0]) / scale
        assert difference.mean() < 3


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_reading_and_writing_need_little_memory(tmp_path, suffix):
    source, small = tmp_path / f"big{suffix}", tmp_path / f"small{suffix}"
    files.write(Picture((np.zeros((5000, 5000, 3), np.uint8),)), source)
    files.write(Picture((smooth(9, 9),)), small)
    # VmHWM: unlike ru_maxrss, it is not inherited from the process that runs the tests
    script = (
        "import re, sys; from pathlib import Path; from degrain import files\n"
        "status = Path('/proc/self/status')\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', status.read_text())[1])\n"
        "source, small, target = map(Path, sys.argv[1:])\n"
        "files.write(files.read(small), small.with_name('x' + small.name))\n"
        "before = peak(); files.write(files.read(source), target); print(peak() - before)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, source, small, tmp_path / f"out{suffix}"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    pixels = 5000 * 5000 * 3
    assert 0.9 * pixels < int(run.stdout) * 1024 < 1.6 * pixels
    assert run.stderr == ""


def test_views_are_written_like_copies(tmp_path):
    page = smooth(10, 12)[::-1, ::-1].transpose(1, 0, 2)
    files.write(Picture((page,)), tmp_path / "out.png")
    np.testing.assert_array_equal(files.read(tmp_path / "out.png").pages[0], page)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif"])
def test_floats_and_pages_need_tiff(tmp_path, suffix):
    page = np.zeros((4, 4, 3), np.float32)
    for picture in (Picture((page,)), Picture((smooth(4, 4), smooth(4, 4)))):
        with pytest.raises(PictureError, match=r"write a \.tif"):
            files.write(picture, tmp_path / f"out{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".gif", ".heic", "", ".txt"])
def test_unknown_formats_are_refused(tmp_path, suffix):
    picture = Picture((smooth(4, 4),))
    with pytest.raises(PictureError, match="cannot be written"):
        files.write(picture, tmp_path / f"out{suffix}")
    with pytest.raises(PictureError, match="cannot be written"):
        files.write_bytes(picture, suffix)


def test_denoised_pages_go_with_the_old_alpha(tmp_path, rng):
    picture = Picture((smooth(9, 9),), (noise(rng, 9, 9, 1, "uint8"),))
    files.write(picture, tmp_path / "in.png")
    read = files.read(tmp_path / "in.png")
    changed = read.with_pages((255 - read.pages[0],))
    files.write(changed, tmp_path / "out.png")
    assert_same(files.read(tmp_path / "out.png"), replace(picture, pages=(255 - smooth(9, 9),)))


def test_names_with_odd_characters(tmp_path):
    for name in ("with space.png", "[n=2].tif", "größe %d.jpg", "-.png", "a,b[c].png"):
        path = tmp_path / name
        files.write(Picture((smooth(6, 6),)), path)
        assert files.read(Path(path)).pages[0].shape == (6, 6, 3)
