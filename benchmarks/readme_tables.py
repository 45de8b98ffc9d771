"""Put the measured tables into README.md and the page on 8 bits, between their marks.

Nothing is measured here.

Run from the repository root: `python benchmarks/readme_tables.py`.
"""

from __future__ import annotations

import json
import math
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

from degrain import load_model
from degrain.bench.tables import Comparison, read_comparisons
from degrain.engines.precision import good_levels

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PUBLISHED = ROOT / "src" / "degrain" / "bench" / "published.toml"
SPECS = ("gaussian:15", "gaussian:25", "gaussian:50", "gaussian:75")
JAIN_SEUNG = {
    "CN1 (40 training pictures), a net for each σ": "jain-seung-cn1-{sigma}",
    "CN2 (100 training pictures), a net for each σ": "jain-seung-cn2-{sigma}",
    "CNBlind, one net, never told σ": "jain-seung-cnblind",
    "BM3D (told σ), measured": "bm3d",
}
DIVAKAR_BABU = {
    "phase 2 (`--detail 0`)": "divakar-babu",
    "phase 3, adversarial (`--detail 1`)": "detail:divakar-babu",
    "BM3D (told σ), measured": "bm3d",
}
LEVELS = (10, 15, 20, 25)
ONE_LEVEL = {
    "a network for each σ": "divakar-babu-{}",
    "the same, blind: σ estimated from the whole picture": "python:benchmarks/estimated_level.py",
    "the best variant (17×17 pixels), a network for each σ": "onnx:best-{}.onnx",
}
BLIND = {
    "`degrain-photo`, what `auto` takes": "degrain-photo",
    "`degrain-photo-fast`, what `--model fast` takes": "degrain-photo-fast",
    "`degrain-color`, `degrain-gray`: white noise only": "degrain-{kind}",
}
COUNT = 5
TOLD = {
    f"the same, told the best of {COUNT} levels (`--sigma`)": "degrain-{kind}@",
    f"FFDNet, told the best of {COUNT} levels": "onnx:ffdnet_{kind}.onnx@",
}
IN_BYTES = tuple(
    f"degrain-{kind}{size}" for size in ("", "-fast") for kind in ("gray", "color", "photo")
)
LOST = ("2", "5", "10", "15", "25", "50", "75")
PLACE = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end measured -->)", re.DOTALL)


def main() -> None:
    """Write the pages."""
    tables = {
        "quality": quality(),
        "real": real(),
        "speed": speed(),
        "papers": papers(),
        "adversarial": adversarial(),
    }
    fill("README.md", tables)
    fill("docs/how-to/twice-as-fast.md", {"lost": lost(), "faster": faster()})


def fill(name: str, tables: dict[str, str]) -> None:
    """Write a page with tables in their places."""
    page = ROOT / name
    text, count = PLACE.subn(
        lambda match: f"{match[1]}\n{tables[match[2]]}\n\n{match[3]}",
        page.read_text(encoding="utf-8"),
    )
    if count != len(tables):
        sys.exit(f"{name} has {count} places for tables, not {len(tables)}")
    page.write_text(text, encoding="utf-8", newline="\n")


def quality() -> str:
    """Mean PSNR on BSD68: our nets as measured, the others as published."""
    lines = [
        "| BSD68 | σ 15 | σ 25 | σ 50 | σ 75 (outside the training range) |",
        "|---|---|---|---|---|",
        line("`degrain-gray`, measured", measured("gray")),
        line("`degrain-gray-fast`, measured", measured("gray", "degrain-gray-fast")),
        line("BM3D (told σ), published", published("BM3D", "BSD68")),
        line("DnCNN-B (blind), published", published("DnCNN-B", "BSD68")),
        line("`degrain-color`, measured", measured("color")),
        line("`degrain-color-fast`, measured", measured("color", "degrain-color-fast")),
        line("`degrain-photo`, measured", measured("color", "degrain-photo")),
        line("`degrain-photo-fast`, measured", measured("color", "degrain-photo-fast")),
        line("CBM3D (told σ), published", published("CBM3D", "CBSD68")),
        line("CDnCNN-B (blind), published", published("CDnCNN-B", "CBSD68")),
    ]
    return "\n".join(lines)


def measured(kind: str, model: str = "") -> dict[str, float]:
    """Means of a net of ours, by default `degrain-KIND`, by noise spec."""
    (comparison,) = read_comparisons(RESULTS / f"bsd68-{kind}.jsonl")
    (ours,) = (c for c in comparison.competitors if c[0] == (model or f"degrain-{kind}"))
    return {spec: fmean(comparison.psnr(ours, spec).values()) for spec in comparison.specs}


def real() -> str:
    """Mean PSNR on real noisy photographs, in color and made gray."""
    columns = [of_real("color", "nam-real.jsonl"), of_real("gray", "nam-real-gray.jsonl")]
    lines = ["| 25 real noisy photographs | color | made gray |", "|---|---|---|"]
    lines += [row([label, *(column[label] for column in columns)]) for label in columns[0]]
    return "\n".join(lines)


def of_real(kind: str, results: str) -> dict[str, str]:
    """Row -> mean PSNR; of what is told a level the best of its levels, which is named."""
    (comparison,) = read_comparisons(RESULTS / results)
    means = {
        who[0]: fmean(comparison.psnr(who, comparison.specs[0]).values())
        for who in comparison.competitors
    }
    shown = {"noisy": "noisy"} | {label: name.format(kind=kind) for label, name in BLIND.items()}
    cells = {label: f"{means[name]:.2f} dB" for label, name in shown.items()}
    for label, start in TOLD.items():
        levels = {n: mean for n, mean in means.items() if n.startswith(start.format(kind=kind))}
        if len(levels) != COUNT:
            sys.exit(f"{results} has {len(levels)} levels of {label}, not {COUNT}")
        best = max(levels, key=lambda name: levels[name])
        cells[label] = f"{levels[best]:.2f} dB (σ {best.partition('@')[2]})"
    return cells


def papers() -> str:
    """Mean PSNR of Jain & Seung's networks on the Berkeley hundred, beside BM3D of the same run."""
    (comparison,) = read_comparisons(RESULTS / "jain-seung")
    lines = ["| Berkeley 100 | σ 25 | σ 50 | σ 100 |", "|---|---|---|---|"]
    for label, name in JAIN_SEUNG.items():
        cells = []
        for sigma in (25, 50, 100):
            (who,) = (c for c in comparison.competitors if c[0] == name.format(sigma=sigma))
            mean = fmean(comparison.psnr(who, f"gaussian:{sigma}").values())
            cells.append(f"{mean:.2f}")
        lines.append(row([label, *cells]))
    return "\n".join(lines)


def adversarial() -> str:
    """The same for the network of Divakar & Babu, blind and with a network for each σ."""
    (comparison,) = (
        found
        for found in read_comparisons(RESULTS / "divakar-babu")
        if "as floats" in found.rules and "100 pictures" in found.rules
    )
    lines = ["| Berkeley 100 | σ 10 | σ 15 | σ 20 | σ 25 |", "|---|---|---|---|---|"]
    for label, name in DIVAKAR_BABU.items():
        (who,) = (c for c in comparison.competitors if c[0] == name)
        means = [fmean(comparison.psnr(who, spec).values()) for spec in comparison.specs]
        lines.append(row([label, *(f"{mean:.2f}" for mean in means)]))
    (levels,) = read_comparisons(RESULTS / "window" / "levels.jsonl")
    lines[4:4] = [
        row([label, *(f"{mean:.2f}" for mean in one_level(levels, family))])
        for label, family in ONE_LEVEL.items()
    ]
    return "\n".join(lines)


def one_level(levels: Comparison, family: str) -> list[float]:
    """Mean PSNR of networks for a single σ each."""
    means = []
    for sigma in LEVELS:
        (who,) = (c for c in levels.competitors if c[0] == family.format(sigma))
        means.append(fmean(levels.psnr(who, f"gaussian:{sigma}").values()))
    return means


def published(method: str, pictures: str) -> dict[str, float]:
    """What was printed for a method on these pictures."""
    entries = tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))["entry"]
    (found,) = (entry for entry in entries if (entry["method"], entry["set"]) == (method, pictures))
    psnr: dict[str, float] = found["psnr"]
    return psnr


def line(name: str, psnr: dict[str, float]) -> str:
    """One row; empty where nothing is known."""
    return row([name, *(f"{psnr[spec]:.2f}" if spec in psnr else "" for spec in SPECS)])


def row(cells: Iterable[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def speed() -> str:
    """Whole commands: start, read, denoise, write; medians over the runs."""
    small, large = (read_json(f"speed-{size}.json") for size in (12, 100))
    size, decoded = f"{small['megapixels']:g} megapixels", f"{large['decoded_mb']:.0f} MB decoded"
    shown = {
        "degrain": f"`degrain denoise`, {size} (white noise: `degrain-color` in 8 bits)",
        "degrain, floats": f"the same with `--precision float`, {size}",
        "degrain-photo": f"the same with `--model degrain-photo`, {size} (in 8 bits)",
        "degrain, fast": f"`degrain denoise --model fast`, {size} (in 8 bits)",
        "degrain, fast, floats": f"the same with `--precision float`, {size}",
        "opencv": "OpenCV `fastNlMeansDenoisingColored`, same picture, same run",
    }
    lines = ["| color JPEG, whole command | seconds | peak memory |", "|---|---|---|"]
    lines += [timing(text, small["methods"][name]) for name, text in shown.items()]
    huge = f"`degrain denoise`, {large['megapixels']:g} megapixels ({decoded}), one run"
    lines.append(timing(huge, large["methods"]["degrain"]))
    older = read_json("speed-12-avx2.json")
    share = older["over_opencv"]
    lines += [
        "",
        f"Medians of {small['runs']} runs each, all of {small['machine']}. On "
        f"{older['machine']}, without products of bytes, "
        f"`--model degrain-photo` took {share['degrain-photo']:.2f} of OpenCV's time (with a block "
        "less than it has now), "
        f"`--model fast` {share['degrain, fast']:.2f}.",
    ]
    return "\n".join(lines)


def timing(name: str, result: dict[str, Any]) -> str:
    """One row of the speed table."""
    seconds = result["seconds"]
    shown = f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}"
    return row([name, shown, f"{result['peak_mb']:.0f} MB"])


def lost() -> str:
    """What networks lose in 8 bits: their cards, the real pairs, and where `auto` takes them."""
    head = ["dB lost at σ", *LOST, "`camera`", "25 real pairs", "`auto`, σ"]
    lines = [row(head), "|" + len(head) * "---|"]
    for name in IN_BYTES:
        card = load_model(name)
        specs = [*(f"gaussian:{level}" for level in LOST), "camera"]
        losses = (f"{card.int8_loss[s]:.3f}" if s in card.int8_loss else "" for s in specs)
        pairs = read_json(f"int8/{name}.json")["pairs"]
        real = f"{pairs['psnr_float'] - pairs['psnr_int8']:.2f}" if pairs else ""
        low, high = good_levels(card) or (0, 0)
        lines.append(row([f"`{name}`", *losses, real, f"{math.ceil(low)} to {math.floor(high)}"]))
    return "\n".join(lines)


def faster() -> str:
    """How many times faster networks are in 8 bits."""
    lines = [
        "| times faster, 1 megapixel, processor seconds (wall) | 1 thread | 2 threads |",
        "|---|---|---|",
    ]
    results = {name: read_json(f"int8/{name}.json") for name in IN_BYTES}
    for name, result in results.items():
        times = (f"{each['cpu_ratio']:.1f} ({each['wall_ratio']:.1f})" for each in result["speed"])
        lines.append(row([f"`{name}`", *times]))
    runs, machines = ({result[key] for result in results.values()} for key in ("runs", "machine"))
    lines += ["", f"Medians of {join(runs)} turns on two cores; {join(machines)}."]
    return "\n".join(lines)


def join(values: Iterable[Any]) -> str:
    """Values in their order, with commas between."""
    return ", ".join(sorted(map(str, values)))


def read_json(name: str) -> dict[str, Any]:
    """A results file that is not one of rows."""
    values: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return values


if __name__ == "__main__":
    main()
