"""Speed and memory of the whole command against OpenCV's non-local means, in one run.

    python benchmarks/speed.py --photo PHOTO.jpg [--megapixels 12] [--runs 3] [--out FILE.json]

A picture of the wanted size is made from PHOTO (enlarged by repetition with mirroring, so that
texture stays texture), gets Gaussian noise of standard deviation 25 and is stored as a JPEG.
Then `degrain denoise` and a process that reads, runs `cv2.fastNlMeansDenoisingColored` with its
default windows, and writes, take turns. Seconds and peak memory are the operating system's
account of each finished process. Only ratios within a run mean something on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from degrain.bench.provenance import machine

OPENCV = (
    "import sys, cv2\n"
    "cv2.setNumThreads({threads})\n"
    "image = cv2.imread(sys.argv[1])\n"
    "clean = cv2.fastNlMeansDenoisingColored(image, None, 10, 10)\n"
    "cv2.imwrite(sys.argv[2], clean, [cv2.IMWRITE_JPEG_QUALITY, 95])\n"
)
OURS = {
    "degrain": ("auto", "auto"),
    "degrain, floats": ("auto", "float"),
    "degrain-photo": ("degrain-photo", "auto"),
    "degrain, fast": ("fast", "auto"),
    "degrain, fast, floats": ("fast", "float"),
}
"""Our commands by name, their model and precision: as users run it, and the other ways. The noise
is white, so "auto" takes `degrain-color`; photographs as they are go through `degrain-photo`."""


def main() -> None:
    """Make the noisy picture, let the commands take turns, write the medians."""
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        noisy = Path(folder, "noisy.jpg")
        decoded_mb = make_in_another_process(options.photo, noisy, options.megapixels)
        commands = {
            name: degrain(noisy, model, precision, options.threads)
            for name, (model, precision) in OURS.items()
        }
        if not options.only_degrain:
            code = OPENCV.format(threads=options.threads)
            target = str(noisy.with_name("opencv.jpg"))
            commands["opencv"] = [sys.executable, "-c", code, str(noisy), target]
        rows = take_turns(commands, options.runs)
    result = summary(rows, options, decoded_mb)
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photo", type=Path, required=True, help="any color photograph")
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only-degrain", action="store_true", help="leave OpenCV out")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def make_in_another_process(photo: Path, target: Path, megapixels: float) -> float:
    """Keep this process small: a child's peak memory begins with that of its parent."""
    code = (
        "import sys; from pathlib import Path; import speed; "
        "print(speed.make_picture(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))"
    )
    command = [sys.executable, "-c", code, str(photo), str(target), str(megapixels)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(result.stdout)


def make_picture(photo: Path, target: Path, megapixels: float) -> float:
    """Write the noisy JPEG (4:3) and return its decoded size in 10^6 bytes."""
    import numpy as np
    import pyvips

    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    tile = pyvips.Image.new_from_file(str(photo)).colourspace("srgb")[:3].numpy()
    # Mirrored copies side by side join without an edge.
    block = np.concatenate([tile, tile[:, ::-1]], axis=1)
    block = np.concatenate([block, block[::-1]], axis=0)
    repeats = (-(-height // block.shape[0]), -(-width // block.shape[1]), 1)
    clean = np.tile(block, repeats)[:height, :width]
    rng = np.random.default_rng(0)
    for top in range(0, height, 512):
        rows = clean[top : top + 512].astype(np.float32)
        rows += 25 * rng.standard_normal(rows.shape, dtype=np.float32)
        clean[top : top + 512] = np.clip(np.rint(rows), 0, 255).astype(np.uint8)
    pyvips.Image.new_from_array(clean).jpegsave(str(target), Q=95)
    return clean.nbytes / 1e6


def degrain(noisy: Path, model: str, precision: str, threads: int) -> list[str]:
    """The command under test."""
    target = str(noisy.with_name("degrain.jpg"))
    command = [sys.executable, "-m", "degrain", "denoise", str(noisy), "-o", target]
    command += ["--overwrite", "--quiet", "--threads", str(threads)]
    return [*command, "--model", model, "--precision", precision]


def take_turns(commands: dict[str, list[str]], runs: int) -> dict[str, list[dict[str, float]]]:
    """Every command once a round, so that a busy minute hits all alike."""
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            rows[name].append(measured(command))
    return rows


def measured(command: list[str]) -> dict[str, float]:
    """Run to the end; wall seconds, processor seconds and peak memory of that process."""
    started = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status != 0:
        sys.exit(f"{command[:4]} ended with status {status}")
    unit = 1 if sys.platform == "darwin" else 1024
    cpu = usage.ru_utime + usage.ru_stime
    return {"seconds": seconds, "cpu_seconds": cpu, "peak_mb": usage.ru_maxrss * unit / 1e6}


def summary(
    rows: dict[str, list[dict[str, float]]], options: argparse.Namespace, decoded_mb: float
) -> dict[str, object]:
    """Medians of every command, and their ratio."""

    def middle(name: str, key: str) -> float:
        return round(statistics.median(row[key] for row in rows[name]), 2)

    result: dict[str, object] = {
        "megapixels": options.megapixels,
        "decoded_mb": round(decoded_mb, 1),
        "threads": options.threads,
        "runs": options.runs,
        "machine": machine(),
        "methods": {
            name: {key: middle(name, key) for key in ("seconds", "cpu_seconds", "peak_mb")}
            for name in rows
        },
    }
    if "opencv" in rows:
        result["over_opencv"] = {
            name: round(statistics.median(ratios(rows[name], rows["opencv"])), 3) for name in OURS
        }
    return result


def ratios(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> list[float]:
    """Seconds over seconds, turn by turn."""
    return [a["seconds"] / b["seconds"] for a, b in zip(ours, theirs, strict=True)]


if __name__ == "__main__":
    main()
