"""Reading pictures, and the public names around picture files.

What is read: JPEG, PNG, TIFF (all pages), WebP (all frames) and AVIF; 8-bit and 16-bit integers
and 32-bit floats (16-bit floats become 32-bit); gray and RGB with or without alpha. Palettes and
1-bit pictures are expanded to 8 bits; CMYK becomes sRGB through its embedded profile, or through
libvips' own one; Lab becomes 16-bit sRGB. Everything else is refused with a PictureError: other
sample types (libvips reads no 64-bit floats), other numbers of channels, camera raw, GIF, and
HEIC, whose decoder is patented and not in the pyvips wheel.

EXIF orientation is obeyed on reading; from then on the picture has none. Embedded thumbnails are
dropped, as they show the noisy picture.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from degrain import formats, iptc, libvips, png, tiff
from degrain.arrays import LARGEST
from degrain.errors import PictureError, reason_of
from degrain.outputs import Job, plan
from degrain.picture import Picture, Pixels
from degrain.writing import check_fit, exif_fields, suffix_of, write, write_bytes

__all__ = [
    "Job",
    "check_fit",
    "is_picture",
    "plan",
    "read",
    "read_bytes",
    "suffix_of",
    "write",
    "write_bytes",
]

Facts = dict[str, Any]

# Header fields that describe the file read, not the picture to be written.
# fmt: off
_NOT_METADATA = frozenset({
    "width", "height", "bands", "format", "coding", "interpretation", "xoffset", "yoffset",
    "filename", "vips-loader", "n-pages", "page-height", "orientation",
    "exif-ifd0-Orientation", "bits-per-sample", "palette", "interlaced", "jpeg-multiscan",
    "jpeg-chroma-subsample", "jpeg-thumbnail-data", "heif-primary", "heif-compression",
    "background", "vips-sequential", "n-subifds",
})
# fmt: on
# The thumbnail shows the noisy picture; texts of PNG are kept byte for byte, see degrain.png.
_KEPT_OTHERWISE = ("exif-ifd1", "png-comment")
_RGB16_SPACES = ("lab", "labs", "labq", "lch", "xyz", "yxy", "cmc", "hsv")
_SAMPLES: dict[str, type[np.generic]] = {
    "uchar": np.uint8,
    "ushort": np.uint16,
    "float": np.float32,
}
_TIFF_BITS = (1, 2, 4, 8, 16, 32)
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>\s*))[2-8]""")


def is_picture(path: Path) -> bool:
    """Whether a file's suffix promises a picture that degrain reads; camera raw is none."""
    return formats.is_picture_name(Path(path)) and Path(path).is_file()


def read(path: Path) -> Picture:
    """Read all pages of a picture file.

    Args:
        path: JPEG, PNG, TIFF, WebP or AVIF; what the file holds counts, not its suffix.

    Returns:
        The picture in its own depth, upright. Pages may be views into one array.

    Raises:
        PictureError: the file is missing, unreadable, damaged, cut short, or no such picture.
    """
    path = Path(path)
    name = str(path)
    if formats.is_raw_name(path):
        raise PictureError(_raw_message(name))
    try:
        _check_kind(path)
        with path.open("rb") as file:
            facts = _facts(file, name)
    except OSError as error:
        msg = f"{name} cannot be read ({reason_of(error)}); check the name and its permissions."
        raise PictureError(msg) from error
    facts["file"] = os.path.realpath(path)
    return _load(name, name, facts)


def _check_kind(path: Path) -> None:
    """Refuse folders, and pipes and devices, on which reading would wait for somebody."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        msg = f"{path} is a folder, not a picture; name the files in it, or denoise the folder."
        raise PictureError(msg)
    if not stat.S_ISREG(mode):
        msg = f"{path} is a pipe or a device, not a file; use - to read standard input."
        raise PictureError(msg)


def read_bytes(data: bytes, name: str = "standard input") -> Picture:
    """Read a picture from the content of a file.

    Args:
        data: the whole file.
        name: what error messages call it.

    Raises:
        PictureError: as for `read`.
    """
    return _load(data, name, _facts(BytesIO(data), name))


def _facts(file: BinaryIO, name: str) -> Facts:
    """Find the format, and what will steer writing; refuse what cannot be read anyway."""
    head = file.read(formats.HEAD_BYTES)
    kind = formats.sniff(head)
    if not head:
        msg = f"{name} is empty (0 bytes); get the picture again from where it came."
        raise PictureError(msg)
    if kind == "raw":
        raise PictureError(_raw_message(name))
    if not kind:
        msg = f"{name} is no picture that degrain knows; give JPEG, PNG, TIFF, WebP or AVIF."
        raise PictureError(msg)
    if kind not in formats.SUFFIX_OF_FORMAT:
        msg = f"{name} is a {kind} file, which degrain does not read; save it as PNG or TIFF first."
        raise PictureError(msg)
    facts: Facts = {"format": kind}
    if kind == "jpeg":
        facts["quality"] = formats.jpeg_quality(file)
    elif kind == "webp":
        facts["lossless"] = formats.webp_is_lossless(file)
    elif kind == "png":
        facts |= _png_facts(file, name)
    elif kind == "avif" and formats.is_image_sequence(head):
        msg = f"{name} is an animated AVIF; save each frame as a file of its own."
        raise PictureError(msg)
    elif kind == "avif" and formats.has_wide_colors(file):
        msg = f"{name} has colors beyond sRGB but no profile, and would lose them; save it as PNG."
        raise PictureError(msg)
    elif kind == "tiff":
        facts |= _tiff_facts(file, name)
    return facts


def _png_facts(file: BinaryIO, name: str) -> Facts:
    """Color information and texts of a PNG."""
    if png.is_animated(file):
        msg = f"{name} is an animated PNG; save each frame as a file of its own."
        raise PictureError(msg)
    return {"chunks": png.kept_chunks(file)}


def _tiff_facts(file: BinaryIO, name: str) -> Facts:
    """Compression, tiles, resolution and EXIF of a TIFF."""
    try:
        layout, directory = tiff.first_directory(file)
        pages = list(tiff.directories(file))
    except ValueError as error:
        msg = f"{name} is a damaged TIFF ({error}); get the picture again from where it came."
        raise PictureError(msg) from error
    first = {tag: (*entry.numbers(), 0)[0] for tag, entry in directory.entries.items()}
    if tiff.DNG_VERSION in first or first.get(tiff.PHOTOMETRIC) == tiff.CFA:
        raise PictureError(_raw_message(name))
    bits = first.get(tiff.BITS_PER_SAMPLE, 1)
    if bits not in _TIFF_BITS:
        msg = f"{name} has {bits}-bit samples, which are not read; save it with 8, 16 or 32 bits."
        raise PictureError(msg)
    if first.get(tiff.PHOTOMETRIC) == tiff.CIELAB and first.get(tiff.BITS_PER_SAMPLE) == 8:
        msg = f"{name} is 8-bit Lab, which is not read; save it as 16-bit Lab or as RGB."
        raise PictureError(msg)
    if tiff.has_other_channel(directory):
        count = first[tiff.SAMPLES_PER_PIXEL]
        msg = (
            f"{name} has {count} channels, and the last is no transparency; save it as a file of "
            "its own."
        )
        raise PictureError(msg)
    if not tiff.is_complete(file, pages):
        msg = f"{name} is damaged or cut short: its pixels reach beyond its end; get it again."
        raise PictureError(msg)
    planes = tiff.planes_named(directory)
    if len(pages) == 1 and planes > 1:
        msg = (
            f"{name} is a stack of {planes} planes of which only the first is marked as a page; "
            "save it with a page for each plane, or split it."
        )
        raise PictureError(msg)
    return {
        "resolutions": [tiff.resolution_of(page) for page in pages],
        "compression": first.get(tiff.COMPRESSION, 1),
        "tile": (first.get(tiff.TILE_WIDTH, 0), first.get(tiff.TILE_LENGTH, 0)),
        "bigtiff": layout.big,
        "exif": tiff.exif_of(directory),
        "tags": tiff.carried(directory),
    }


def _load(source: str | bytes, name: str, facts: Facts) -> Picture:
    """Decode a picture whose format is known."""
    vips = libvips.load()
    try:
        image = _normal(_open(vips, source, name, facts), name)
        samples = _samples(image, name)
        whole = np.frombuffer(image.write_to_memory(), dtype=samples)
    except vips.Error as error:
        if "out of memory" in str(error).lower():
            raise MemoryError(str(error)) from error
        raise PictureError(_damage_message(name, facts["format"], error)) from error
    except UnicodeEncodeError as error:
        msg = f"The name {name!r} is not valid Unicode; rename the file."
        raise PictureError(msg) from error
    whole = whole.reshape(-1, image.width, image.bands)
    _check_finite(whole, name)
    fields = libvips.fields_of(image)
    rows = image.get("page-height") if "page-height" in fields else image.height
    turn = _turn(image.get("orientation") if "orientation" in fields else 1)
    pages = [turn(whole[top : top + rows]) for top in range(0, len(whole), rows)]
    metadata = _metadata(image, facts)
    origin = _origin(image, facts) | {"exif_fields": exif_fields(metadata)}
    return _picture(pages, metadata, origin)


def _picture(pages: list[Pixels], metadata: Mapping[str, Any], origin: Facts) -> Picture:
    """Split alpha off, as views."""
    bands = pages[0].shape[2]
    if bands in (1, 3):
        return Picture(tuple(pages), None, metadata, origin)
    colors = tuple(page[..., :-1] for page in pages)
    return Picture(colors, tuple(page[..., -1:] for page in pages), metadata, origin)


def _open(vips: Any, source: str | bytes, name: str, facts: Facts) -> Any:
    """Open with the loader of the format sniffed, never with a guessed one."""
    kind: str = facts["format"]
    loader = ("heif" if kind in ("avif", "heic") else kind) + "load"
    # "truncated" lets pass what every viewer shows, such as odd bytes between JPEG markers
    options: Facts = {"access": "sequential", "fail_on": "truncated"}
    if kind in ("tiff", "webp"):
        options["n"] = -1
    opener = loader if isinstance(source, str) else loader + "_buffer"
    image = getattr(vips.Image, opener)(source, **options)
    if kind == "avif" and image.get("n-pages") > 1:
        msg = f"{name} holds {image.get('n-pages')} pictures; save each as a file of its own."
        raise PictureError(msg)
    return image


def _normal(image: Any, name: str) -> Any:
    """Convert color spaces other than gray and RGB to sRGB; check the channels."""
    if image.interpretation == "cmyk":
        depth = 16 if image.format == "ushort" else 8
        image = image.icc_transform(
            "srgb", embedded=True, input_profile="cmyk", intent="relative", depth=depth
        )
    elif image.interpretation in _RGB16_SPACES:
        image = image.colourspace("rgb16")
        image.remove("icc-profile-data")
    if image.bands > 4:
        msg = (
            f"{name} has {image.bands} channels; degrain takes gray (1) or RGB (3), "
            "each with or without alpha: split the file."
        )
        raise PictureError(msg)
    return image


def _samples(image: Any, name: str) -> type[np.generic]:
    """The numpy type of the samples."""
    if image.format in _SAMPLES:
        return _SAMPLES[image.format]
    kind = {"short": "signed 16-bit", "char": "signed 8-bit", "uint": "32-bit integer"}
    msg = (
        f"{name} has {kind.get(image.format, image.format)} samples; degrain takes 8-bit and "
        "16-bit unsigned integers and 32-bit floats: convert it."
    )
    raise PictureError(msg)


def _check_finite(pixels: Pixels, name: str) -> None:
    """Refuse NaN, infinity and huge numbers; minimum and maximum carry all, without memory."""
    if pixels.dtype.kind != "f":
        return
    low, high = float(pixels.min()), float(pixels.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        msg = f"{name} has NaN or infinity among its pixels; replace them by numbers first."
        raise PictureError(msg)
    if max(-low, high) > LARGEST:
        msg = (
            f"{name} has pixels of {low if -low > high else high:.3g}, which seem to stand for "
            "none; replace them by numbers like the others."
        )
        raise PictureError(msg)


def _turn(orientation: int) -> Callable[[Pixels], Pixels]:
    """How to set a picture upright, as a view: EXIF 2.3, section 4.6.4, tag 274."""
    turns: dict[int, Callable[[Pixels], Pixels]] = {
        2: lambda page: page[:, ::-1],
        3: lambda page: page[::-1, ::-1],
        4: lambda page: page[::-1],
        5: lambda page: page.transpose(1, 0, 2),
        6: lambda page: page[::-1].transpose(1, 0, 2),
        7: lambda page: page[::-1, ::-1].transpose(1, 0, 2),
        8: lambda page: page[:, ::-1].transpose(1, 0, 2),
    }
    return turns.get(orientation, lambda page: page)


def _metadata(image: Any, facts: Facts) -> dict[str, Any]:
    """Header fields to write back."""
    metadata: dict[str, Any] = {}
    fields = libvips.fields_of(image)
    for field in fields:
        if field in _NOT_METADATA or field.startswith(_KEPT_OTHERWISE):
            continue
        try:
            metadata[field] = image.get(field)
        except UnicodeDecodeError:
            # a text in some old encoding; the block in exif-data still has it
            continue
    exif = facts.pop("exif", None)
    if exif is not None:
        metadata["exif-data"] = exif
    if "exif-data" in metadata:
        metadata["exif-data"] = tiff.without_thumbnail(metadata["exif-data"])
    if "iptc-data" in metadata:
        metadata["iptc-data"] = iptc.without_thumbnail(metadata["iptc-data"])
    if "xmp-data" in metadata:
        metadata["xmp-data"] = _XMP_ORIENTATION.sub(rb"\g<1>1", metadata["xmp-data"])
    if "orientation" in fields and image.get("orientation") > 4:
        metadata["xres"], metadata["yres"] = metadata["yres"], metadata["xres"]
        if "resolutions" in facts:
            facts["resolutions"] = [tiff.turned(page) for page in facts["resolutions"]]
    return metadata


def _origin(image: Any, facts: Facts) -> Facts:
    """Facts about the file that steer writing."""
    fields = libvips.fields_of(image)
    origin = dict(facts)
    if "jpeg-chroma-subsample" in fields:
        origin["subsampled"] = image.get("jpeg-chroma-subsample") in ("4:2:0", "4:1:1", "4:1:0")
        origin["progressive"] = bool(image.get("jpeg-multiscan"))
    if "bits-per-sample" in fields:
        origin["bits"] = image.get("bits-per-sample")
    return origin


def _damage_message(name: str, kind: str, error: Exception) -> str:
    reason = libvips.reason_of(error)
    if "differs from page" in reason:
        return (
            f"{name} has pages of different size, depth or channels; "
            "split it into one file a page first."
        )
    if kind == "heic":
        return (
            f"{name} is HEIC, which this build of libvips cannot decode ({reason}); "
            "save it as JPEG, PNG or TIFF first."
        )
    return (
        f"{name} is damaged or cut short ({kind.upper()}: {reason}); "
        "get the picture again from where it came."
    )


def _raw_message(name: str) -> str:
    return (
        f"{name} is camera raw, which must be developed first; export it as a 16-bit TIFF from "
        "a raw converter (darktable, RawTherapee, the camera maker's) and denoise that."
    )
