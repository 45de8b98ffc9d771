"""Writing pictures: atomic, in the depth they came in, with their metadata.

What a format cannot hold is refused with a PictureError, except where everybody would do the
same: 16 bits are rounded to 8 for JPEG and WebP and to 12 for AVIF, and transparency is laid
over white for JPEG. Floats go to TIFF only, several pages to TIFF only (an animation also to
WebP). MakerNotes with absolute offsets may not survive the way from JPEG to TIFF or back.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from degrain import formats, iptc, libvips, png, tiff
from degrain.errors import PictureError, reason_of
from degrain.exif import put_back, upright
from degrain.picture import Picture, Pixels

MIN_JPEG_QUALITY = 90
"""JPEG files of lower quality are written with this one: their blocks are gone, why new ones?"""

NEW_JPEG_QUALITY = 95
"""For pictures that were no JPEG files."""

PROGRESSIVE_MEGAPIXELS = 30
"""Above this, JPEG files are written baseline: progressive ones are coded as a whole in memory."""

LONGEST_SIDES = {"jpeg": 65_500, "webp": 16_383, "avif": 16_384}
"""Pixels along one side at most, by libjpeg, WebP and libvips."""

_BIGTIFF_BYTES = 3_500_000_000
_UNKNOWN_DPI = 72.0
# TIFF 6.0, tag 259; lossy and two-level codecs, and those libvips lacks, become deflate
_TIFF_COMPRESSIONS = {1: "none", 5: "lzw", 32773: "packbits"}


def suffix_of(picture: Picture) -> str:
    """File suffix of the format a picture came in; .png if it came from no file."""
    return formats.SUFFIX_OF_FORMAT.get(str(picture.origin.get("format", "")), ".png")


def write(picture: Picture, path: Path, *, overwrite: bool = False) -> None:
    """Write a picture; the file appears whole or not at all.

    Missing folders are created. The format follows from the suffix.

    Args:
        picture: what to write, with metadata and origin as `read` gave them.
        path: target; never the file the picture was read from.
        overwrite: replace an existing file.

    Raises:
        PictureError: the target exists, is the source, cannot be written (disk full, no
            permission), or its format cannot hold such a picture.
    """
    path = Path(path)
    kind = _kind(path.suffix, str(path))
    _check_target(picture, path, overwrite)
    _check_fit(picture, kind, str(path))
    temporary = path.with_name(f".degrain-{secrets.token_hex(6)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _create(temporary)
        _encode(
            picture, kind, str(path), lambda image, options: _save(image, kind, temporary, options)
        )
        with temporary.open("r+b") as file:
            _finish(picture, kind, file)
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise PictureError(_write_message(path, reason_of(error))) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(picture: Picture, suffix: str) -> bytes:
    """The content of a picture file.

    Args:
        picture: what to encode.
        suffix: names the format, such as ".png".

    Raises:
        PictureError: the format is unknown or cannot hold such a picture.
    """
    kind = _kind(suffix, f"A picture with the suffix {suffix!r}")
    _check_fit(picture, kind, "the output")
    saver = _saver(kind) + "_buffer"
    data: bytes = _encode(
        picture, kind, "the output", lambda image, options: getattr(image, saver)(**options)
    )
    file = BytesIO(data)
    _finish(picture, kind, file)
    return file.getvalue()


def check_fit(picture: Picture, path: Path) -> None:
    """Find out before long work whether a file of this name could hold such a picture.

    Raises:
        PictureError: its format is unknown or cannot hold it.
    """
    _check_fit(picture, _kind(path.suffix, str(path)), str(path))


def _kind(suffix: str, name: str) -> str:
    """Format of a suffix."""
    kind = formats.FORMAT_OF_SUFFIX.get(suffix.lower(), "")
    if not kind:
        msg = f"{name} cannot be written: use .jpg, .png, .tif, .webp or .avif."
        raise PictureError(msg)
    if kind == "heic":
        msg = f"{name} cannot be written: HEIC needs a patented encoder; use .avif or .jpg."
        raise PictureError(msg)
    return kind


def _check_target(picture: Picture, path: Path, overwrite: bool) -> None:
    """Refuse targets that would lose something."""
    source = picture.origin.get("file")
    # true also through links, and where the file system ignores case
    with contextlib.suppress(OSError):
        if source is not None and os.path.samefile(source, path):  # noqa: PTH121
            msg = f"{path} is the picture's own source, which is never overwritten; rename it."
            raise PictureError(msg)
    if path.is_dir():
        msg = f"{path} is a folder; give the name of a file."
        raise PictureError(msg)
    if not overwrite and os.path.lexists(path):
        msg = f"{path} exists already; allow overwriting or give another name."
        raise PictureError(msg)


def _check_fit(picture: Picture, kind: str, name: str) -> None:
    """Refuse what the format cannot hold."""
    count = len(picture.pages)
    animated = kind == "webp" and "delay" in picture.metadata
    if count > 1 and kind != "tiff" and not animated:
        msg = (
            f"{name}: {kind.upper()} holds one picture, but there are {count} pages; write a .tif."
        )
        raise PictureError(msg)
    if picture.dtype.kind == "f" and kind != "tiff":
        msg = f"{name}: {kind.upper()} holds no floating-point pixels; write a .tif."
        raise PictureError(msg)
    longest = max(picture.pages[0].shape[:2])
    if longest > LONGEST_SIDES.get(kind, longest):
        msg = (
            f"{name}: {kind.upper()} holds at most {LONGEST_SIDES[kind]} pixels a side, not "
            f"{longest}; write a .tif or .png."
        )
        raise PictureError(msg)


def _create(path: Path) -> None:
    """Make an empty file with the permissions a new file gets."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))


def _encode(
    picture: Picture, kind: str, name: str, save: Callable[[Any, dict[str, Any]], Any]
) -> Any:
    """Hand the picture to libvips, which streams it to the encoder."""
    vips = libvips.load()
    try:
        image = _described(vips, _image(vips, picture, kind), picture, kind)
        return save(image, _options(picture, kind))
    except vips.Error as error:
        raise PictureError(_write_message(Path(name), libvips.reason_of(error))) from error


def _save(image: Any, kind: str, path: Path, options: dict[str, Any]) -> None:
    try:
        getattr(image, _saver(kind))(str(path), **options)
    except Exception:
        _probe_space(path)
        raise


def _probe_space(path: Path) -> None:
    """Raise OSError if no more can be written to a file; libvips does not always say so."""
    with path.open("ab") as file:
        file.write(bytes(1 << 20))
        file.flush()
        os.fsync(file.fileno())


def _saver(kind: str) -> str:
    return {"avif": "heif"}.get(kind, kind) + "save"


def _finish(picture: Picture, kind: str, file: BinaryIO) -> None:
    """Add what libvips leaves out or changes: EXIF, IPTC, places, units, some chunks of PNG."""
    exif, origin = picture.metadata.get("exif-data"), picture.origin
    if kind == "tiff":
        tags = dict(origin.get("tags", {}))
        if "iptc-data" in picture.metadata:
            tags[tiff.IPTC] = tiff.opaque_entry(iptc.bare(picture.metadata["iptc-data"]))
        tiff.embed(file, exif if isinstance(exif, bytes) else None, tags)
    if kind == "tiff" and origin.get("resolutions"):
        tiff.set_resolution(file, origin["resolutions"])
    unchanged = exif_fields(picture.metadata) == origin.get("exif_fields")
    if kind != "tiff" and isinstance(exif, bytes) and unchanged:
        height, width = picture.pages[0].shape[:2]
        put_back(file, kind, upright(exif, width, height))
    if kind == "png" and origin.get("chunks"):
        png.insert_chunks(file, origin["chunks"])


def exif_fields(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What libvips has read of an EXIF block: who changes it wants it written instead."""
    return {name: value for name, value in metadata.items() if name.startswith("exif-ifd")}


def _image(vips: Any, picture: Picture, kind: str) -> Any:
    """All pages as one libvips image, one below the other, without copying their pixels."""
    images = [_wrapped(vips, page) for page in picture.pages]
    if picture.alphas is not None:
        alphas = [_wrapped(vips, alpha) for alpha in picture.alphas]
        images = [image.bandjoin(alpha) for image, alpha in zip(images, alphas, strict=True)]
    image = images[0] if len(images) == 1 else vips.Image.arrayjoin(images, across=1)
    if picture.dtype == np.uint16 and kind in ("jpeg", "webp"):
        # libvips would drop the lower byte; 65535 / 255 = 257
        image = (image / 257).rint().cast("uchar")
    deep = image.format == "ushort"
    if picture.dtype.kind == "f":
        space = "b-w" if picture.channels == 1 else "scrgb"
    elif picture.channels == 1:
        space = "grey16" if deep else "b-w"
    else:
        space = "rgb16" if deep else "srgb"
    image = image.copy(interpretation=space)
    if kind == "jpeg" and picture.alphas is not None:
        image = image.flatten(background=255)
    return image


def _wrapped(vips: Any, pixels: Pixels) -> Any:
    """A libvips image of an array's own memory; only views are copied first."""
    height, width, bands = pixels.shape
    formats_of = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}
    data = np.ascontiguousarray(pixels)
    return vips.Image.new_from_memory(
        data.reshape(-1).data, width, height, bands, formats_of[pixels.dtype.name]
    )


def _described(vips: Any, image: Any, picture: Picture, kind: str) -> Any:
    """Attach the metadata."""
    metadata = dict(picture.metadata)
    xres, yres = metadata.pop("xres", 1.0), metadata.pop("yres", 1.0)
    if xres == yres == 1.0 and "resolution-unit" not in metadata:
        # libvips' "not known" would be written as 25.4 dpi, at which pages are feet wide
        xres = yres = _UNKNOWN_DPI / 25.4
    image = image.copy(xres=xres, yres=yres)
    if "iptc-data" in metadata:
        notes = metadata.pop("iptc-data")
        if kind != "tiff":  # there libvips cuts it to a quarter; see _finish
            metadata["iptc-data"] = iptc.in_photoshop_block(notes)
    # reading has set the picture upright; the EXIF block still has the old orientation
    metadata["orientation"] = 1
    for name, value in metadata.items():
        gtype = _gtype(vips.GValue, value)
        if gtype is not None:
            image.set_type(gtype, name, value)
    if len(picture.pages) > 1:
        image.set_type(vips.GValue.gint_type, "page-height", picture.pages[0].shape[0])
    return image


def _gtype(gvalue: Any, value: Any) -> int | None:
    """The libvips type of a header field."""
    if isinstance(value, list):
        floats = any(isinstance(item, float) for item in value)
        return int(gvalue.array_double_type if floats else gvalue.array_int_type)
    for kind, gtype in (
        (bytes, gvalue.blob_type),
        (str, gvalue.refstr_type),
        (int, gvalue.gint_type),
        (float, gvalue.gdouble_type),
    ):
        if isinstance(value, kind):
            return int(gtype)
    return None


def _options(picture: Picture, kind: str) -> dict[str, Any]:
    """Settings of the encoder, after the file the picture came from."""
    origin = picture.origin
    same = origin.get("format") == kind
    if kind == "jpeg":
        options = _jpeg_options(picture, same)
    elif kind == "tiff":
        options = _tiff_options(picture)
    elif kind == "webp":
        lossless = origin.get("lossless", origin.get("format") != "jpeg")
        options = {"Q": 95, "lossless": bool(lossless), "exact": True}
    elif kind == "avif":
        bits = origin.get("bits", 12) if same else 12
        options = {
            "Q": 90,
            "compression": "av1",
            # Photographs get no larger than with libvips' default and take an eighth of its time.
            "effort": 2,
            "subsample_mode": "off",
            "bitdepth": bits if picture.dtype == np.uint16 else 8,
        }
    else:
        # photographs get a quarter smaller than without a filter; the others gain little more
        options = {"compression": 6, "filter": "sub"}
    if "exif-data" not in picture.metadata:
        options["keep"] = "xmp|iptc|icc|other"
    return options


def _jpeg_options(picture: Picture, same: bool) -> dict[str, Any]:
    """Quality and chroma resolution no lower than the source's."""
    origin = picture.origin
    quality = max(origin.get("quality") or 0, MIN_JPEG_QUALITY) if same else NEW_JPEG_QUALITY
    return {
        "Q": quality,
        "subsample_mode": "on" if same and origin.get("subsampled") else "off",
        "interlace": bool(origin.get("progressive"))
        and picture.megapixels <= PROGRESSIVE_MEGAPIXELS,
    }


def _tiff_options(picture: Picture) -> dict[str, Any]:
    """Compression and tiles as in the source; deflate for what was no TIFF."""
    origin = picture.origin
    codec = origin.get("compression", 8)
    options: dict[str, Any] = {
        "compression": _TIFF_COMPRESSIONS.get(codec, "deflate"),
        "predictor": "float" if picture.dtype.kind == "f" else "horizontal",
        "bigtiff": bool(origin.get("bigtiff")) or _bytes(picture) > _BIGTIFF_BYTES,
    }
    width, height = origin.get("tile", (0, 0))
    if width and height and len(picture.pages) == 1:
        options |= {"tile": True, "tile_width": width, "tile_height": height}
    return options


def _bytes(picture: Picture) -> int:
    return sum(page.nbytes for page in (*picture.pages, *(picture.alphas or ())))


def _write_message(path: Path, reason: str) -> str:
    """One sentence on a failed write."""
    reason = reason.removesuffix(".")
    if "no space left" in reason.lower():
        return f"{path} was not written, as the disk is full; make room and try again."
    return f"{path} cannot be written ({reason}); check the folder and its permissions."
