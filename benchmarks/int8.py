"""What the 8-bit version of a model gains and where it loses, beside its float version.

    python benchmarks/int8.py MODEL PICTURE... [--side 1000] [--runs 5] [--pairs NOISY CLEAN]
                              [--out FILE.json]

Speed: both versions take turns on one random picture of side × side pixels, with 1 and 2 threads;
processor seconds, which a busy machine disturbs least, and wall seconds; medians. Quality:
clean pictures of 16 bits (8-bit ones count as such) under Gaussian noise of several levels, level
0 included: PSNR of both versions, what the 8-bit one changes (largest and root mean square, in
gray levels of 255), and what tiles change in each version. With --pairs, two folders of files of
the same names, also the PSNR of both versions on real noise, answers in the pictures' own depth.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from degrain import Denoiser, files, load_model
from degrain.bench.provenance import machine
from degrain.depth import unit_floats
from degrain.engines.onnx import OnnxEngine
from degrain.metrics import psnr
from degrain.train.data import read_pairs, to_channels
from degrain.zoo.store import int8_partner

LEVELS_255 = (0, 1, 2, 5, 10, 15, 25, 50, 75)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("pictures", nargs="*", type=Path)
    parser.add_argument("--side", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pairs", type=Path, nargs=2, metavar=("NOISY", "CLEAN"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = {
        "model": options.model,
        "machine": machine(),
        "side": options.side,
        "runs": options.runs,
        "speed": [speed(options.model, n, options.side, options.runs) for n in (1, 2)],
        "levels": quality(options.model, options.pictures) if options.pictures else [],
        "pairs": on_pairs(options.model, *options.pairs) if options.pairs else {},
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


def speed(model: str, threads: int, side: int, runs: int) -> dict[str, float]:
    """Medians of both versions, taking turns."""
    card = load_model(model)
    engines = {
        "float": OnnxEngine(card.path, threads=threads),
        "int8": OnnxEngine(int8_partner(card), threads=threads),
    }
    x_nchw = np.random.default_rng(0).random((1, card.channels, side, side), dtype=np.float32)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for turn in range(runs + 1):
        for name, engine in engines.items():
            wall, cpu = time.perf_counter(), time.process_time()
            engine.run(x_nchw)
            if turn:  # the first one prepares
                taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    found: dict[str, float] = {"threads": threads}
    for place, kind in enumerate(("wall", "cpu")):
        seconds = {name: median(row[place] for row in rows) for name, rows in taken.items()}
        found |= {f"{name}_{kind}_s": round(value, 3) for name, value in seconds.items()}
        found[f"{kind}_ratio"] = round(seconds["float"] / seconds["int8"], 2)
    return found


def quality(model: str, paths: list[Path]) -> list[dict[str, Any]]:
    """One row a level, means over pictures."""
    pictures = [as_floats(path, load_model(model).channels) for path in paths]
    denoisers = {name: Denoiser(model, precision=name) for name in ("float", "int8")}
    tiled = {name: Denoiser(model, precision=name, memory_mb=185) for name in denoisers}
    rows = []
    for level in LEVELS_255:
        found: dict[str, list[float]] = {}
        for number, clean in enumerate(pictures):
            rng = np.random.default_rng(number)
            noisy = clean + np.float32(level / 255) * rng.standard_normal(clean.shape, np.float32)
            noisy_16 = np.rint(65535 * np.clip(noisy, 0, 1)).astype(np.uint16)
            made = {name: each(noisy_16) for name, each in denoisers.items()}
            for name, clean_16 in made.items():
                found.setdefault(f"psnr_{name}", []).append(psnr(clean, clean_16 / 65535))
                moved = np.abs(tiled[name](noisy_16).astype(float) - clean_16) / 257
                found.setdefault(f"tiles_{name}_max", []).append(float(moved.max()))
                found.setdefault(f"tiles_{name}_share", []).append(float((moved > 0.5).mean()))
            change = (made["int8"].astype(float) - made["float"]) / 257
            found.setdefault("change_rms", []).append(float(np.sqrt(np.square(change).mean())))
            found.setdefault("change_max", []).append(float(np.abs(change).max()))
        worst = {key: max(v) if key.endswith("max") else fmean(v) for key, v in found.items()}
        rows.append({"sigma": level, **{key: round(v, 5) for key, v in worst.items()}})
    return rows


def on_pairs(model: str, noisy: Path, clean: Path) -> dict[str, float]:
    """Mean PSNR of both versions over pairs, and the most that one picture loses."""
    channels, gray = load_model(model).channels, load_model(model).gray
    packs = read_pairs(noisy, clean)
    pages = [[to_channels(x, channels, gray) for x in packed.pictures] for packed in packs]
    found = {
        f"psnr_{name}": [
            psnr(unit_floats(good), unit_floats(denoiser(bad)))
            for bad, good in zip(*pages, strict=True)
        ]
        for name in ("float", "int8")
        for denoiser in [Denoiser(model, precision=name)]
    }
    lost = np.subtract(*found.values())
    means = {key: round(fmean(values), 3) for key, values in found.items()}
    return {**means, "most_lost": round(float(lost.max()), 3)}


def as_floats(path: Path, channels: int) -> Any:
    """A picture 0..1, H×W or H×W×3."""
    (page,) = files.read(path).pages
    unit = page.astype(np.float32) / np.iinfo(page.dtype).max
    if channels == 3:
        return np.repeat(unit, 3, axis=2) if unit.shape[2] == 1 else unit
    gray = (
        unit @ np.array([0.299, 0.587, 0.114], np.float32) if unit.shape[2] == 3 else unit[..., 0]
    )
    return gray.astype(np.float32)


if __name__ == "__main__":
    main()
