"""Bad files give one clear sentence, and a failed write leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degrain import files, libvips, writing
from degrain.errors import PictureError
from degrain.picture import Picture

PAGE = np.random.default_rng(3).integers(0, 256, (64, 48, 3), dtype=np.uint8)
SUFFIXES = (".jpg", ".png", ".tif", ".webp", ".avif")


@pytest.fixture(scope="module")
def encoded():
    return {suffix: files.write_bytes(Picture((PAGE,)), suffix) for suffix in SUFFIXES}


def sentence(path, match):
    """The error for a file: one or two sentences that name it."""
    with pytest.raises(PictureError, match=match) as caught:
        files.read(path)
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    assert message.endswith(".")
    return message


def put(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


def test_missing_file(tmp_path):
    sentence(tmp_path / "nowhere.jpg", "no such file")


def test_a_path_below_a_file(tmp_path):
    sentence(put(tmp_path, "file", b"x") / "below.jpg", "not a directory")


def test_unreadable_file(tmp_path, monkeypatch):
    path = put(tmp_path, "secret.jpg", b"x")

    def refuse(self, *_args, **_options):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    sentence(path, "permission denied")


def test_folder_instead_of_file(tmp_path):
    sentence(tmp_path, "is a folder")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_empty_file(tmp_path, suffix):
    sentence(put(tmp_path, f"empty{suffix}", b""), "empty")


def test_empty_pipe():
    with pytest.raises(PictureError, match="standard input is empty"):
        files.read_bytes(b"")


@pytest.mark.parametrize("data", [b"This is no picture.\n", b"\xff\xd8", b"\x00" * 100, b"RIFF"])
def test_text_and_scrap_named_png(tmp_path, data):
    sentence(put(tmp_path, "text.png", data), "no picture")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("shot.CR2", b"II*\x00\x10\x00\x00\x00CR\x02\x00"),
        ("shot.nef", b"MM\x00*"),
        ("shot.dng", b"II*\x00"),
        ("renamed.tif", b"II*\x00\x10\x00\x00\x00CR\x02\x00"),
        ("renamed.jpg", b"FUJIFILMCCD-RAW "),
        ("shot.cr3", b"\x00\x00\x00\x18ftypcrx "),
        ("renamed.heic", b"\x00\x00\x00\x18ftypcrx "),
    ],
)
def test_camera_raw(tmp_path, name, data):
    sentence(put(tmp_path, name, data), "developed first")


@pytest.mark.parametrize(("tag", "value"), [(50706, 1), (262, 32803)])
def test_camera_raw_named_tif(tmp_path, tag, value):
    directory = struct.pack("<HHHIII", 1, tag, 4, 1, value, 0)
    sentence(
        put(tmp_path, "renamed.tif", b"II*\x00\x08\x00\x00\x00" + directory), "developed first"
    )


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"GIF89a", "GIF"), (b"BM", "BMP"), (b"%PDF-1.7", "PDF"), (b"\xff\x0a", "JPEG XL")],
)
def test_other_kinds_are_named(tmp_path, head, kind):
    sentence(put(tmp_path, "other.png", head + bytes(80)), f"is a {kind} file")


def test_heic_says_what_to_do(tmp_path):
    box = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"
    sentence(put(tmp_path, "phone.heic", box + bytes(64)), "HEIC")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kept", [0.02, 0.1, 0.5, 0.9, 0.99])
def test_cut_files(tmp_path, encoded, suffix, kept):
    data = encoded[suffix]
    sentence(put(tmp_path, f"cut{suffix}", data[: int(len(data) * kept)]), "damaged|no picture")


def test_cut_tiff_with_its_tags_in_front(tmp_path):
    tags = ((256, 40), (257, 40), (258, 8), (259, 1), (262, 1), (273, 200), (277, 1), (278, 40))
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in (*tags, (279, 1600))
    )
    head = b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", 9) + entries + bytes(4)
    whole = head.ljust(200, b"\x00") + bytes(1600)
    assert files.read(put(tmp_path, "whole.tif", whole)).pages[0].shape == (40, 40, 1)
    sentence(put(tmp_path, "cut.tif", whole[:900]), "damaged")


def test_harmless_oddities_in_jpeg_are_read(tmp_path, encoded):
    data = encoded[".jpg"]
    odd = put(tmp_path, "odd.jpg", data + b"trailing bytes of some phone")
    np.testing.assert_array_equal(files.read(odd).pages[0], files.read_bytes(data).pages[0])
    padded = put(tmp_path, "padded.jpg", data[:2] + b"\xff\xff\xff" + data[2:])
    np.testing.assert_array_equal(files.read(padded).pages[0], files.read_bytes(data).pages[0])


@settings(max_examples=60, deadline=None)
@given(suffix=st.sampled_from([".jpg", ".png", ".tif", ".webp"]), data=st.data())
def test_damaged_bytes_raise_nothing_else(encoded, suffix, data):
    whole = bytearray(encoded[suffix])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(0, 250), st.integers(0, len(whole) - 1)))
        whole[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PictureError):
        assert files.read_bytes(bytes(whole)).pages


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("page", [0, 2])
def test_nan_and_infinity(tmp_path, bad, page):
    pages = [np.zeros((5, 6, 3), np.float32) for _ in range(3)]
    pages[page][2, 3, 1] = bad
    files.write(Picture(tuple(pages)), tmp_path / "bad.tif")
    sentence(tmp_path / "bad.tif", "NaN or infinity")


def test_numbers_that_stand_for_none(tmp_path):
    page = np.full((5, 6, 1), 0.5, np.float32)
    page[2, 3] = -3.4e38
    files.write(Picture((page,)), tmp_path / "map.tif")
    sentence(tmp_path / "map.tif", "-3.4e[+]38, which seem to stand for none")


def test_a_pipe_is_no_file(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(tmp_path / "pipe.png")
    sentence(tmp_path / "pipe.png", "is a pipe or a device")


@pytest.mark.parametrize("sample", ["char", "short", "int", "uint"])
def test_other_sample_types(tmp_path, sample):
    image = libvips.load().Image.new_from_array(PAGE).copy(interpretation="srgb")
    image.cast(sample).write_to_file(str(tmp_path / "odd.tif"))
    sentence(tmp_path / "odd.tif", "samples; degrain takes")


def test_64_bit_floats(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "double.tif", PAGE / 255.0, photometric="rgb")
    sentence(tmp_path / "double.tif", "64-bit samples")


def test_five_channels(tmp_path):
    image = libvips.load().Image.new_from_array(np.zeros((6, 7, 5), np.uint8))
    image.write_to_file(str(tmp_path / "five.tif"))
    sentence(tmp_path / "five.tif", "5 channels")


def test_pages_of_different_size(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as writer:
        writer.write(PAGE, photometric="rgb")
        writer.write(PAGE[:20], photometric="rgb")
    sentence(tmp_path / "mixed.tif", "different size")


def test_nothing_is_printed(tmp_path, encoded):
    for suffix in SUFFIXES:
        put(tmp_path, f"cut{suffix}", encoded[suffix][:-60])
    put(tmp_path, "flipped.png", encoded[".png"][:60] + b"\x00\xff" + encoded[".png"][62:])
    script = (
        "import sys; from pathlib import Path\n"
        "from degrain import files; from degrain.errors import PictureError\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    try: files.read(path)\n"
        "    except PictureError: print(path.name)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert run.stdout.split() == sorted(path.name for path in tmp_path.iterdir())
    assert run.stderr == ""


# ---- writing ----


def refuse_write(picture, path, match, **options):
    before = {one: one.read_bytes() for one in path.parent.iterdir() if one.is_file()}
    with pytest.raises(PictureError, match=match) as caught:
        files.write(picture, path, **options)
    assert "\n" not in str(caught.value)
    after = {one: one.read_bytes() for one in path.parent.iterdir() if one.is_file()}
    assert after == before


def test_existing_targets_are_kept(tmp_path):
    path = put(tmp_path, "old.png", b"precious")
    refuse_write(Picture((PAGE,)), path, "exists already")
    files.write(Picture((PAGE,)), path, overwrite=True)
    np.testing.assert_array_equal(files.read(path).pages[0], PAGE)


def test_the_source_is_never_overwritten(tmp_path, encoded):
    source = put(tmp_path, "photo.png", encoded[".png"])
    picture = files.read(source)
    refuse_write(picture, source, "own source", overwrite=True)
    (tmp_path / "link.png").symlink_to(source)
    refuse_write(picture, tmp_path / "link.png", "own source", overwrite=True)
    (tmp_path / "hard.png").hardlink_to(source)
    refuse_write(picture, tmp_path / "hard.png", "own source", overwrite=True)
    (tmp_path / "folder").symlink_to(tmp_path, target_is_directory=True)
    refuse_write(picture, tmp_path / "folder" / "photo.png", "own source", overwrite=True)


def test_a_folder_is_no_target(tmp_path):
    (tmp_path / "folder.png").mkdir()
    refuse_write(Picture((PAGE,)), tmp_path / "folder.png", "is a folder", overwrite=True)


def test_a_folder_that_cannot_be(tmp_path):
    put(tmp_path, "file", b"x")
    with pytest.raises(PictureError, match="cannot be written"):
        files.write(Picture((PAGE,)), tmp_path / "file" / "out.png")


def test_folder_without_permission(tmp_path, monkeypatch):
    def refuse(path, *_args):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(writing, "_create", refuse)
    refuse_write(Picture((PAGE,)), tmp_path / "out.png", "permission denied")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device of full disks")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_full_disk(tmp_path, monkeypatch, suffix):
    # A link to the device that is always full stands in for the temporary file.
    monkeypatch.setattr(writing, "_create", lambda path: path.symlink_to("/dev/full"))
    refuse_write(Picture((PAGE,)), tmp_path / f"out{suffix}", "disk is full")
    assert list(tmp_path.iterdir()) == []
    assert Path("/dev/full").exists()


@pytest.mark.parametrize("moment", ["_save", "_finish"])
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), MemoryError(), OSError(28, "No space left")]
)
@pytest.mark.parametrize("exists", [False, True])
def test_a_failure_leaves_no_debris(tmp_path, monkeypatch, moment, error, exists):
    target = tmp_path / "out.tif"
    if exists:
        target.write_bytes(b"the old one")
    real = getattr(writing, moment)

    def fail(*args):
        real(*args)
        assert len(list(tmp_path.iterdir())) == 1 + exists
        raise error

    monkeypatch.setattr(writing, moment, fail)
    with pytest.raises(PictureError if isinstance(error, OSError) else type(error)):
        files.write(Picture((PAGE,)), target, overwrite=True)
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"the old one"] * exists


def test_too_large_for_the_format(tmp_path):
    wide = Picture((np.zeros((1, 70_000, 3), np.uint8),))
    for suffix in (".jpg", ".webp", ".avif"):
        refuse_write(
            wide, tmp_path / f"wide{suffix}", r"holds at most \d+ pixels a side, not 70000"
        )


def test_written_files_have_usual_permissions(tmp_path):
    files.write(Picture((PAGE,)), tmp_path / "out.png")
    (tmp_path / "plain").touch()
    assert (tmp_path / "out.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_missing_folders_are_made(tmp_path):
    files.write(Picture((PAGE,)), tmp_path / "a" / "b" / "out.png")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["out.png"]
