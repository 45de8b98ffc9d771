"""What phase 3 does: PSNR, perceptual distance and patch prior, between the ends of a run.

    python benchmarks/divakar_babu_detail.py RUN --data FOLDER --vgg FILE -o RESULTS

Writes RESULTS/detail.json and, for benchmarks/fill_page.py, RESULTS/report.md: for every noise
level the way from phase 2 to phase 3 by mixing answers and by mixing weights, and the ranking of
clean, noisy, over-smoothed and denoised pictures by the discriminator. The pictures must not be
those of the training.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from degrain.bench.report import markdown_table
from degrain.bench.suites import make_suite
from degrain.train import checkpoint
from degrain.train.discriminator import Discriminator, scratch_backbone
from degrain.train.three_phase import read_phase, read_run
from degrain.train.tradeoff import measure_tradeoff, rank_by_prior
from degrain.train.vgg import load_vgg


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vgg", required=True)
    parser.add_argument("--sigma", type=float, nargs="+", default=[10, 15, 20, 25])
    parser.add_argument("--limit", type=int)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RESULTS")
    parser.add_argument("--side", type=int, default=256, help="of the central part of each picture")
    options = parser.parse_args()

    _, recipe = read_run(options.run)
    ends = read_phase(options.run, "2", recipe), read_phase(options.run, "3", recipe)
    vgg = load_vgg(options.vgg)
    backbone = vgg if recipe.discriminator == "vgg" else scratch_backbone(recipe.channels)
    judge = Discriminator(backbone, recipe.crop)
    judge.restore(checkpoint.load(options.run / "phase-3.pt")["discriminator"])
    specs = [f"gaussian:{sigma:g}" for sigma in options.sigma]
    suite = make_suite(options.data, noise=specs, gray=recipe.channels == 1, limit=options.limit)
    results = {"rules": suite.rules, "side": options.side}
    for spec in specs:
        pairs = []
        for name in suite.names:
            clean = suite.clean(name)
            noisy = suite.noisy(clean, name, spec)
            pairs.append((central(noisy, options.side), central(clean, options.side)))
        results[spec] = {
            "tradeoff": measure_tradeoff(ends, pairs, vgg),
            "negative log prior, nats per patch": rank_by_prior(judge.eval(), ends[1], pairs),
        }
        print(spec, json.dumps(results[spec]))
    options.output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1) + "\n"
    (options.output / "detail.json").write_text(text, encoding="utf-8", newline="\n")
    write_report(results, specs, options.output / "report.md")


def write_report(results: dict[str, Any], specs: list[str], path: Path) -> None:
    """Both tables as Markdown, between comments that name them."""
    lines = []
    for spec in specs:
        sigma = spec.removeprefix("gaussian:")
        ways = {(row["way"], row["detail"]): row for row in results[spec]["tradeoff"]}
        for way in ("outputs", "weights"):
            found = [row for (name, _), row in ways.items() if name == way]
            cells = [f"{row['psnr']:.3f} / {row['perceptual_distance']:.3f}" for row in found]
            lines.append([sigma, f"mixed {way}", *cells])
    details = [f"detail {row['detail']:g}" for row in results[specs[0]]["tradeoff"][::2]]
    tradeoff = markdown_table(["σ", "way", *details], lines)
    kinds = ("clean", "noisy", "over-smoothed", "denoised")
    priors = [results[spec]["negative log prior, nats per patch"] for spec in specs]
    ranking = markdown_table(
        ["σ", *kinds],
        [
            [spec.removeprefix("gaussian:"), *(f"{prior[kind]:.2f}" for kind in kinds)]
            for spec, prior in zip(specs, priors, strict=True)
        ],
    )
    head = f"Central {results['side']}×{results['side']} pixels; {results['rules']}."
    blocks = {"detail": f"{head}\n\n{tradeoff}", "ranking": ranking}
    parts = [f"<!-- block {name} -->\n{text}\n<!-- end {name} -->" for name, text in blocks.items()]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8", newline="\n")


def central(picture: np.ndarray, side: int) -> torch.Tensor:
    """The central part as 1×C×S×S."""
    pixels = picture.reshape(*picture.shape[:2], -1)
    top, left = (max(0, (length - side) // 2) for length in pixels.shape[:2])
    part = pixels[top : top + side, left : left + side]
    return torch.from_numpy(np.ascontiguousarray(part)).movedim(-1, 0)[None]


if __name__ == "__main__":
    main()
