"""The experiment of Divakar & Babu 2017: Tables 1 and 2, beside BM3D of the same run; ablations.

| part           | pictures                                  | rules                            |
|----------------|-------------------------------------------|----------------------------------|
| Tables 1 and 2 | the folder given: BSDS300 test, 100       | noisy pictures as floats; clip8  |
| the same       | 200 of PASCAL VOC: a seeded list of ours  | the same                         |
| ablation       | the folder given                          | floats                           |

The paper's other 200 pictures come from PASCAL VOC, and their list is not public; ours is drawn
from the folder with a fixed seed and written beside the results.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Final

from degrain.bench.rows import Row, read_rows, results_file
from degrain.bench.run import run_suite
from degrain.bench.suites import Suite, make_suite
from degrain.errors import UsageError
from degrain.zoo.store import detail_partner, load_model

NOISE: Final = ("gaussian:10", "gaussian:15", "gaussian:20", "gaussian:25")
PROTOCOLS: Final = ("float", "clip8")
VOC_PICTURES: Final = 200
VOC_LIST: Final = "voc-list.txt"
PUBLISHED: Final[Mapping[str, tuple[float, ...]]] = {
    "phase 2": (-1.01, -0.41, -0.16, -0.43),
    "phase 3": (0.03, 0.08, 0.06, 0.13),
}
"""The paper's margins over BM3D in dB on its 300 pictures, Tables 1 and 2, for `NOISE`."""


def run_divakar_babu(
    data: Path,
    output: Path,
    *,
    model: str = "divakar-babu",
    reference: str = "bm3d",
    variants: Sequence[str] = (),
    voc: Path | None = None,
    voc_ids: Path | None = None,
    ids: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    processes: int = 1,
    quiet: bool = False,
) -> int:
    """Measure the tables and write `report.md`; rows already there are not measured again.

    Args:
        data: folder with the hundred test pictures of BSDS300.
        output: folder for rows, lists and the report.
        model: name or file of the network; its card may name a phase-3 partner.
        reference: method of the same run that margins are taken over; it is told σ.
        variants: methods to compare it with, such as `onnx:no-damping.onnx`: the ablation.
        voc: folder with pictures of PASCAL VOC.
        voc_ids: list of those to take; default: 200 drawn with the seed.
        ids: list of the pictures of `data` to take.
        limit: take the first so many pictures of either folder.
        seed: of the noise and of the list.
        threads: per method.
        processes: how many pictures are worked on at once.
        quiet: show no progress.

    Returns:
        0, or 1 if a method failed on a picture.

    Raises:
        UsageError: pictures, model or package are missing.
        ModelError: a model is damaged.
    """
    ends = _ends(model)
    output.mkdir(parents=True, exist_ok=True)
    folders = [(data, ids)]
    if voc is not None:
        folders.append((voc, voc_ids or draw_list(voc, output / VOC_LIST, seed)))
    failures, parts = 0, [_heading(model)]
    for folder, chosen in folders:
        for protocol in PROTOCOLS:
            suite = make_suite(
                folder,
                noise=NOISE,
                gray=True,
                ids=chosen,
                protocol=protocol,
                seed=seed,
                limit=limit,
            )
            extra = variants if (folder, protocol) == (data, "float") else ()
            methods = ["noisy", reference, *ends.values(), *extra]
            failures += run_suite(
                suite,
                methods,
                output,
                threads=threads,
                processes=processes,
                slow_pictures=None,
                quiet=quiet,
            )
            rows = _rows(output, suite)
            parts.append(tables(folder.name, suite, rows, ends, reference))
            if extra:
                parts.append(ablation(rows, ends, extra))
    (output / "report.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(output / "report.md")
    return 1 if failures else 0


def draw_list(folder: Path, target: Path, seed: int, count: int = VOC_PICTURES) -> Path:
    """Draw pictures of a folder by a seed and write their names, one a line.

    Raises:
        UsageError: the folder holds fewer.
    """
    from degrain.files import is_picture

    stems = sorted({path.stem for path in folder.rglob("*") if is_picture(path)})
    if len(stems) < count:
        msg = f"{folder} holds {len(stems)} pictures, not {count}; give PASCAL VOC's JPEGImages."
        raise UsageError(msg)
    chosen = sorted(random.Random(seed).sample(stems, count))
    head = f"# {count} of {len(stems)} pictures, drawn with seed {seed}"
    target.write_text("\n".join([head, *chosen]) + "\n", encoding="utf-8")
    return target


def tables(
    name: str,
    suite: Suite,
    rows: Sequence[Row],
    ends: Mapping[str, str],
    reference: str = "bm3d",
) -> str:
    """Tables 1 and 2 for one folder and protocol, as Markdown.

    Args:
        name: of the folder, for the title.
        suite: the rules.
        rows: measured by these rules.
        ends: `phase 2` and `phase 3`, as far as there are, to method names.
        reference: what margins are taken over.
    """
    told = _told(reference)
    lines = [f"## {name}, {suite.protocol}", "", f"{suite.rules}.", ""]
    lines += _row(["", *(spec.replace("gaussian:", "σ ") for spec in NOISE)])
    lines += _row(["---"] * (1 + len(NOISE)))
    for label, method in {"noisy": "noisy", told: reference, **ends}.items():
        lines += _row([f"{label}, dB / SSIM", *(_quality(rows, method, n) for n in NOISE)])
    for label, method in ends.items():
        margins = [_margin(rows, method, reference, spec) for spec in NOISE]
        lines += _row([f"{label} − {told}, dB (± standard error)", *margins])
        published = (f"{value:+.2f}" for value in PUBLISHED[label])
        lines += _row([f"{label} − BM3D, published (300 pictures)", *published])
    return "\n".join(lines)


def ablation(rows: Sequence[Row], ends: Mapping[str, str], variants: Sequence[str]) -> str:
    """What each variant gains or loses against the whole network after phase 2, as Markdown."""
    whole = ends["phase 2"]
    lines = ["## Ablation", "", f"PSNR in dB and SSIM; differences to {_label(whole)}.", ""]
    lines += _row(["", *(spec.replace("gaussian:", "σ ") for spec in NOISE)])
    lines += _row(["---"] * (1 + len(NOISE)))
    for method in (*ends.values(), *variants):
        lines += _row([_label(method), *(_quality(rows, method, spec) for spec in NOISE)])
        if method != whole:
            margins = [_margin(rows, method, whole, spec) for spec in NOISE]
            lines += _row([f"{_label(method)}, difference", *margins])
    return "\n".join(lines)


def _ends(model: str) -> dict[str, str]:
    """Phase 2, and phase 3 where the card names it, as method names."""
    card = load_model(model)
    if card.channels != 1:
        msg = f"The tables are for gray pictures, but {card.name} is for color."
        raise UsageError(msg)
    first = f"onnx:{model}" if model.endswith(".onnx") else card.name
    if not card.detail_model:
        return {"phase 2": first}
    return {"phase 2": first, "phase 3": f"onnx:{detail_partner(card)}"}


def _told(reference: str) -> str:
    return "BM3D (told σ)" if reference == "bm3d" else _label(reference)


def _heading(model: str) -> str:
    return f"# Divakar & Babu 2017, measured\n\nModel: {_label(model)}; blind."


def _rows(output: Path, suite: Suite) -> list[Row]:
    """The good rows of these rules, the latest of each."""
    found = read_rows(results_file(output))
    good = [row for row in found if row["rules"] == suite.rules and row["status"] == "ok"]
    return list({(row["method"], row["picture"], row["noise"]): row for row in good}.values())


def _by_picture(rows: Sequence[Row], method: str, spec: str, what: str) -> dict[str, float]:
    return {
        row["picture"]: row[what]
        for row in rows
        if row["method"] == method and row["noise"] == spec and row[what] is not None
    }


def _quality(rows: Sequence[Row], method: str, spec: str) -> str:
    psnr = _by_picture(rows, method, spec, "psnr").values()
    ssim = _by_picture(rows, method, spec, "ssim").values()
    if not psnr:
        return "-"
    return f"{fmean(psnr):.2f} / {fmean(ssim):.4f}" if ssim else f"{fmean(psnr):.2f} / -"


def _margin(rows: Sequence[Row], method: str, base: str, spec: str) -> str:
    """Mean difference over the pictures that both have, with its standard error."""
    first, second = (_by_picture(rows, name, spec, "psnr") for name in (method, base))
    differences = [first[picture] - second[picture] for picture in first.keys() & second.keys()]
    if not differences:
        return "-"
    error = stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else float("nan")
    return f"{fmean(differences):+.2f} (± {error:.2f})"


def _label(method: str) -> str:
    """A method without the folder of its file."""
    return Path(method.removeprefix("onnx:")).name


def _row(cells: Sequence[str]) -> list[str]:
    return ["| " + " | ".join(cells) + " |"]
