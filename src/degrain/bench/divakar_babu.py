"""The experiment of Divakar & Babu 2017: Tables 1 and 2, beside BM3D of the same run; ablations.

| part           | pictures                                  | rules, file                      |
|----------------|-------------------------------------------|----------------------------------|
| Tables 1 and 2 | the folder given: BSDS300 test, 100       | noisy pictures as floats; clip8  |
| the same       | 200 of PASCAL VOC: a seeded list of ours  | the same                         |
| ablation       | 10 of the folder given, by their names    | floats                           |
| Fig. 5, Fig. 6 | held-out pictures of a training run       | fig5.png, fig6.png               |
| Fig. 7         | one picture of the folder given, σ 25     | fig7.png                         |

The paper's other 200 pictures come from PASCAL VOC, and their list is not public; ours is drawn
from the folder with a fixed seed and written beside the results.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from degrain.bench.divakar_babu_report import NOISE, Measured, label_of, told, write_report
from degrain.bench.paired import of_latest_versions
from degrain.bench.rows import Row, read_rows, results_file
from degrain.bench.run import run_suite
from degrain.bench.shown import draw_shown, median_picture
from degrain.bench.suites import Suite, data_hash, make_suite
from degrain.errors import UsageError
from degrain.zoo.store import load_model

PROTOCOLS: Final = ("float", "clip8")
SHOWN: Final = "gaussian:25"
"""Noise of Fig. 7."""
ABLATION_PICTURES: Final = 10
"""Differences are paired, so that few pictures tell them; a network with 3×3 damping is slow."""
VOC_PICTURES: Final = 200
VOC_LIST: Final = "voc-list.txt"


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure, and how.

    Attributes:
        data: folder with the hundred test pictures of BSDS300.
        output: folder for rows, lists, figures and the report.
        model: name or file of the network; its card may name a phase-3 partner.
        reference: method of the same run that margins are taken over; it is told σ.
        variants: methods to compare with each other, such as `onnx:no-damping.onnx`: the
            ablation. Differences are taken to the first.
        runs: run folders of `degrain train`, the model's own first: figures 5 and 6, and a table
            of where each of them ended.
        voc: folder with pictures of PASCAL VOC.
        voc_ids: list of those to take; default: 200 drawn with the seed.
        ids: list of the pictures of `data` to take.
        limit: take the first so many pictures of either folder.
        seed: of the noise and of the list.
        threads: per method.
        processes: how many pictures are worked on at once.
        quiet: show no progress.
    """

    data: Path
    output: Path
    model: str = "divakar-babu"
    reference: str = "bm3d"
    variants: Sequence[str] = ()
    runs: Sequence[Path] = ()
    voc: Path | None = None
    voc_ids: Path | None = None
    ids: Path | None = None
    limit: int | None = None
    seed: int = 0
    threads: int | None = None
    processes: int = 1
    quiet: bool = False


def run_divakar_babu(request: Request) -> int:
    """Measure the tables, draw the figures, write `report.md`.

    Rows that are already there are not measured again.

    Returns:
        0, or 1 if a method failed on a picture.

    Raises:
        UsageError: pictures, model, run or package are missing.
        ModelError: a model is damaged.
    """
    _check(request)
    request.output.mkdir(parents=True, exist_ok=True)
    runs = {run.name: _run_rows(run) for run in request.runs}
    failures, parts = 0, []
    for part in _parts(request):
        failures += run_suite(
            part.suite,
            part.methods,
            request.output,
            threads=request.threads,
            processes=request.processes,
            slow_pictures=None,
            quiet=request.quiet,
        )
        parts.append(replace(part, rows=_rows(request.output, part.suite)))
    write_report(request.output / "report.md", request.model, parts, runs)
    _draw(request, parts[0])
    print(request.output / "report.md")
    return 1 if failures else 0


def _check(request: Request) -> None:
    """Say what cannot work before hours are spent; the verb says how to install a package."""
    import matplotlib  # noqa: F401

    if request.runs:
        import torch  # noqa: F401
    if request.output.is_file():
        msg = f"The experiment writes figures and a report; give a folder, not {request.output}."
        raise UsageError(msg)


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


def _parts(request: Request) -> Iterator[Measured]:
    """What has to be measured; folders are looked into when their turn comes."""
    ends = _ends(request.model)
    folders = [("", request.data, request.ids)]
    if request.voc is not None:
        list_file = request.output / VOC_LIST
        chosen = request.voc_ids or draw_list(request.voc, list_file, request.seed)
        folders.append(("voc-", request.voc, chosen))
    for prefix, folder, ids in folders:
        for protocol in PROTOCOLS:
            suite = _suite(request, folder, ids, protocol)
            title = f"{folder.name}, {protocol}"
            yield Measured(prefix + protocol, title, suite, request.reference, ends)
    if request.variants:
        few = _few(_suite(request, request.data, request.ids, "float"))
        variants = {label_of(name): name for name in request.variants}
        yield Measured("ablation", "Ablation", few, request.variants[0], variants)


def _suite(request: Request, folder: Path, ids: Path | None, protocol: str) -> Suite:
    return make_suite(
        folder,
        noise=NOISE,
        gray=True,
        ids=ids,
        protocol=protocol,
        seed=request.seed,
        limit=request.limit,
    )


def _few(suite: Suite) -> Suite:
    """Some of the pictures, chosen by their names alone."""
    names = tuple(sorted(suite.ranked()[:ABLATION_PICTURES]))
    return replace(suite, names=names, data=data_hash(suite.root, names))


def _ends(model: str) -> dict[str, str]:
    """Phase 2, and phase 3 where the card names it, as method names."""
    card = load_model(model)
    if card.channels != 1:
        msg = f"The tables are for gray pictures, but {card.name} is for color."
        raise UsageError(msg)
    first = f"onnx:{model}" if model.endswith(".onnx") else card.name
    if not card.detail_model:
        return {"phase 2": first}
    return {"phase 2": first, "phase 3": f"detail:{model}"}


def _rows(output: Path, suite: Suite) -> list[Row]:
    """The good rows of these rules, the latest of each."""
    found = read_rows(results_file(output))
    same = [row for row in found if row["rules"] == suite.rules]
    good = [row for row in of_latest_versions(same) if row["status"] == "ok"]
    return list({(row["method"], row["picture"], row["noise"]): row for row in good}.values())


def _run_rows(run: Path) -> list[Row]:
    """The validations of a training run.

    Raises:
        UsageError: it has not come to the end of phase 2.
    """
    from degrain.train.journal import read_rows as read_journal

    rows = read_journal(run)
    if not (run / "phase-2.pt").is_file() or not any(row["phase"] == "2" for row in rows):
        msg = f"{run} holds no run of degrain train that has ended phase 2."
        raise UsageError(msg)
    return rows


def _draw(request: Request, part: Measured) -> None:
    """All figures that there is something for."""
    if request.runs:
        from degrain.train.curves import draw_adversarial, draw_psnr

        draw_psnr(request.runs[0], request.output / "fig5.png")
        draw_adversarial(request.runs[0], request.output / "fig6.png")
    shown = median_picture(part.by_picture(part.networks["phase 2"], SHOWN))
    if shown is not None:
        _draw_panels(request, part, shown)


def _draw_panels(request: Request, part: Measured, shown: str) -> None:
    """Fig. 7: the methods once more on one picture."""
    names = {told(part.reference): part.reference, **part.networks}
    known = {
        label: part.by_picture(name, SHOWN).get(shown)
        for label, name in {"noisy": "noisy", **names}.items()
    }
    psnr = {label: value for label, value in known.items() if value is not None}
    path = request.output / "fig7.png"
    draw_shown(part.suite, shown, SHOWN, names, psnr, path, threads=request.threads)
