"""Chunks of PNG files that libvips does not carry over."""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path

import pytest

from degrain import files, png
from degrain.errors import PictureError
from degrain.picture import Picture
from pictures import smooth

TEXTS = (
    (b"tEXt", b"Author\x00J\xf6rg"),
    (b"tEXt", b"Schl\xfcssel\x00x"),
    (b"zTXt", b"Comment\x00\x00" + zlib.compress(b"long " * 50)),
    (b"iTXt", b"Title\x00\x00\x00ja\x00\x00" + "日本".encode()),
)
COLORS = (
    (b"cICP", bytes([9, 16, 0, 1])),
    (b"gAMA", (100_000).to_bytes(4, "big")),
)


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """All chunks; read without degrain, check sums included."""
    found, at = [], 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + size]
        assert zlib.crc32(body) == int.from_bytes(data[at + 8 + size : at + 12 + size], "big")
        found.append((body[:4], body[4:]))
        at += 12 + size
    return found


def source(folder: Path, *chunks: tuple[bytes, bytes]) -> Path:
    path = folder / "in.png"
    files.write(Picture((smooth(20, 30),)), path, overwrite=True)
    with path.open("r+b") as file:
        png.insert_chunks(file, chunks)
    return path


def test_texts_and_color_information_survive_byte_for_byte(tmp_path: Path) -> None:
    path = source(tmp_path, *TEXTS, *COLORS)
    picture = files.read(path)
    files.write(picture, tmp_path / "out.png")
    kept = chunks_of((tmp_path / "out.png").read_bytes())
    assert kept[0][0] == b"IHDR"
    assert kept[1:7] == [*TEXTS, *COLORS], "before the pixels"
    assert (files.read(tmp_path / "out.png").pages[0] == picture.pages[0]).all()
    assert files.write_bytes(picture, ".png") == (tmp_path / "out.png").read_bytes()


def test_texts_behind_the_pixels_are_found_too(tmp_path: Path) -> None:
    data = source(tmp_path).read_bytes()
    behind = BytesIO(data[:8])
    png.insert_chunks(whole := BytesIO(data), TEXTS[:1])
    chunk = whole.getvalue()[png.AFTER_HEADER :][: 12 + len(TEXTS[0][1])]
    behind = BytesIO(data[:-12] + chunk + data[-12:])
    assert png.kept_chunks(behind) == TEXTS[:1]


def test_other_formats_have_no_such_chunks(tmp_path: Path) -> None:
    picture = files.read(source(tmp_path, *TEXTS, *COLORS))
    for suffix in (".jpg", ".tif", ".webp"):
        files.write(picture, tmp_path / f"out{suffix}")
        assert files.read(tmp_path / f"out{suffix}").pages[0].shape == (20, 30, 3)


def test_xmp_is_not_kept_twice(tmp_path: Path) -> None:
    xmp = (b"iTXt", png.XMP + bytes(4) + b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    files.write(files.read(source(tmp_path, xmp)), tmp_path / "out.png")
    kinds = [data for _, data in chunks_of((tmp_path / "out.png").read_bytes())]
    assert sum(data.startswith(png.XMP) for data in kinds) == 1


def test_nothing_is_taken_from_a_damaged_chunk(tmp_path: Path) -> None:
    data = bytearray(source(tmp_path, *TEXTS[:1]).read_bytes())
    data[png.AFTER_HEADER + 10] ^= 1
    assert png.kept_chunks(BytesIO(bytes(data))) == ()


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 20])
def test_what_lies_behind_is_moved_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    data = source(tmp_path).read_bytes()
    monkeypatch.setattr(png, "_BLOCK_BYTES", block)
    png.insert_chunks(file := BytesIO(data), TEXTS)
    inserted = len(file.getvalue()) - len(data)
    assert file.getvalue()[:33] + file.getvalue()[33 + inserted :] == data


def test_animations_are_refused(tmp_path: Path) -> None:
    path = source(tmp_path, (b"acTL", (4).to_bytes(4, "big") + bytes(4)))
    with pytest.raises(PictureError, match="animated PNG; save each frame"):
        files.read(path)
    still = tmp_path / "still.avif"
    files.write(Picture((smooth(64, 64),)), still)
    moving = still.read_bytes()[:8] + b"avis" + still.read_bytes()[12:]
    with pytest.raises(PictureError, match="animated AVIF; save each frame"):
        files.read_bytes(moving)
