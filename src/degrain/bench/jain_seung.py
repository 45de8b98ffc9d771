"""Jain & Seung, NIPS 2008: the experiments of the paper, and their figures, from one command.

| part   | what                                                               | files           |
|--------|--------------------------------------------------------------------|-----------------|
| Fig. 2 | mean PSNR of CN1, CN2, CNBlind at σ 25, 50, 100, beside a reference | fig2, fig2-paired |
| Fig. 3 | clean, noisy and denoised region of one picture at σ 50            | fig3            |
| Fig. 4 | filters of the first two layers of CNBlind                         | fig4            |
| Sec. 5 | CN2 with its last layer, or all, at random                         |                 |
| Sec. 5 | wall-clock time on a 512×512 picture                               | clock.json      |

Rows go to `results.jsonl` like all of the bench; what is there is not measured again.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from degrain.bench import clock, figures, kernels, paired, randomize
from degrain.bench.jain_seung_findings import (
    CLOCK_SIDE_PX,
    SHOWN_SIGMA,
    SIGMAS,
    Findings,
    noise_spec,
    reference_label,
)
from degrain.bench.jain_seung_report import write_report
from degrain.bench.methods import open_method
from degrain.bench.run import read_rows, results_file, run_suite
from degrain.bench.shown import draw_shown, median_picture
from degrain.bench.suites import Suite, make_suite
from degrain.bench.wishes import Wishes
from degrain.errors import MissingPackageError, PictureError, UsageError
from degrain.zoo.store import has_model, load_model

NETWORKS: Mapping[str, str] = {
    "CN1": "jain-seung-cn1-{sigma}",
    "CN2": "jain-seung-cn2-{sigma}",
    "CNBlind": "jain-seung-cnblind",
}
REFERENCES = ("bm3d",)
CLOCK_THREADS = (1, 2)


def run_jain_seung(wishes: Wishes) -> int:
    """Measure, draw and report; the experiment `jain-seung`.

    Returns:
        0, or 1 if a method failed on a picture. A missing optional package is no failure: it is
        said on standard error and in the report.

    Raises:
        UsageError: no pictures, none of the networks is installed, or the results folder is a file.
    """
    _check(wishes)
    networks, missing = _networks()
    references, without = _references(wishes.references or REFERENCES)
    for sentence in (*missing, *without):
        print(f"degrain: {sentence}", file=sys.stderr)
    suite = make_suite(
        wishes.data,
        noise=[noise_spec(sigma) for sigma in SIGMAS],
        gray=True,
        conversion="average",
        ids=wishes.ids,
        seed=wishes.seed,
        limit=wishes.limit,
    )
    failures = _measure(suite, networks, references, wishes)
    random_model = networks.get("CN2", next(iter(networks.values()))).get(SHOWN_SIGMA)
    if random_model:
        failures += _measure_random(suite, random_model, wishes)
    rows = [r for r in read_rows(results_file(wishes.results)) if r["rules"] == suite.rules]
    findings = Findings(suite, networks, references, rows, (*missing, *without))
    shown = typical_picture(findings)
    times = _clock(findings, shown, wishes)
    _draw(findings, shown, wishes)
    write_report(findings, wishes.results, times=times, shown=shown, random_model=random_model)
    print(wishes.results / "report.md")
    return 1 if failures else 0


def _check(wishes: Wishes) -> None:
    """Say what cannot work before hours are spent."""
    import matplotlib  # noqa: F401  (the verb says how to install it)
    import onnx  # noqa: F401

    if wishes.results.suffix == ".jsonl" or wishes.results.is_file():
        msg = f"The experiment writes figures and a report; give a folder, not {wishes.results}."
        raise UsageError(msg)


def _networks() -> tuple[dict[str, dict[int, str]], list[str]]:
    """The networks that are installed, and a sentence on those that are not."""
    wanted = {
        label: {sigma: pattern.format(sigma=sigma) for sigma in SIGMAS}
        for label, pattern in NETWORKS.items()
    }
    found = {
        label: {sigma: name for sigma, name in names.items() if has_model(name)}
        for label, names in wanted.items()
    }
    lost = sorted({n for names in wanted.values() for n in names.values() if not has_model(n)})
    if not any(found.values()):
        msg = f"None of the networks of the paper is installed ({', '.join(lost)})."
        raise UsageError(msg + " Reinstall degrain, or train them and set DEGRAIN_MODELS.")
    sentences = [f"Not installed and left out: {', '.join(lost)}."] if lost else []
    return {label: names for label, names in found.items() if names}, sentences


def _references(names: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Those that can run here, and a sentence on each that lacks a package."""
    found, sentences = list[str](), list[str]()
    for name in dict.fromkeys(names):
        try:
            found.append(open_method(name, gray=True, threads=1).name)
        except MissingPackageError as error:
            sentences.append(f"{reference_label(name)} is left out. {error}")
    return tuple(found), sentences


def _measure(
    suite: Suite,
    networks: Mapping[str, Mapping[int, str]],
    references: Sequence[str],
    wishes: Wishes,
) -> int:
    """Rows of Fig. 2; the networks first, then the slow references in several processes."""
    failures = 0
    for sigma in SIGMAS:
        one = replace(suite, noise=(noise_spec(sigma),))
        names = [models[sigma] for models in networks.values() if sigma in models]
        failures += run_suite(
            one, ["noisy", *names], wishes.results, threads=wishes.threads, quiet=wishes.quiet
        )
    if references:
        failures += run_suite(
            suite,
            list(references),
            wishes.results,
            threads=1 if wishes.processes > 1 else wishes.threads,
            processes=wishes.processes,
            quiet=wishes.quiet,
        )
    return failures


def _measure_random(suite: Suite, name: str, wishes: Wishes) -> int:
    """Rows of the network with random layers."""
    methods = [
        randomize.randomized(load_model(name), part, draw, threads=wishes.threads)
        for part in randomize.PARTS
        for draw in range(2 if wishes.quick else 5)
    ]
    one = replace(suite, noise=(noise_spec(SHOWN_SIGMA),))
    return run_suite(one, methods, wishes.results, threads=wishes.threads, quiet=wishes.quiet)


def _clock(findings: Findings, shown: str, wishes: Wishes) -> list[dict[str, Any]]:
    """Times on a 512×512 picture; kept in `clock.json` as long as nothing about them changes."""
    sigma = SIGMAS[0]
    names = [next(iter(models.values())) for models in findings.networks.values()]
    names += ["degrain-gray", *findings.references]
    names = list(dict.fromkeys(names))
    runs = 3 if wishes.quick else 10
    asked = {
        "methods": {name: open_method(name, gray=True, threads=1).version for name in names},
        "runs": runs,
        "machine": clock.machine(),
        "picture": shown,
        "side_px": CLOCK_SIDE_PX,
    }
    file = wishes.results / "clock.json"
    kept = _kept(file, asked)
    if kept:
        return kept
    clean = clock.square_picture(findings.suite.clean(shown), CLOCK_SIDE_PX)
    noisy = findings.suite.noisy(clean, shown, noise_spec(sigma))
    with _bar(wishes, "run") as bar:
        times = clock.clock(
            noisy,
            noise_spec(sigma),
            names,
            threads=CLOCK_THREADS,
            runs=runs,
            on_run=bar.update,
        )
    file.write_text(json.dumps({"asked": asked, "times": times}, indent=1) + "\n", encoding="utf-8")
    return times


def _kept(file: Path, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Times measured before for the same request; none if there are none."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return list(stored["times"]) if stored["asked"] == asked else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _bar(wishes: Wishes, unit: str) -> Any:
    from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

    return tqdm(disable=True if wishes.quiet else None, file=sys.stderr, unit=unit)


def _draw(findings: Findings, shown: str, wishes: Wishes) -> None:
    """All figures."""
    folder = wishes.results
    colors = figures.palette(
        list(findings.networks), [reference_label(name) for name in findings.references]
    )
    means = {f"σ {sigma}": findings.means(sigma) for sigma in SIGMAS}
    floors = {
        f"σ {sigma}": paired.mean_of(findings.psnr("noisy", sigma).values()).value
        for sigma in SIGMAS
    }
    means = {group: found for group, found in means.items() if found}
    figures.bars(means, floors, colors, folder / "fig2.png")
    differences = {f"σ {sigma}": findings.differences(sigma) for sigma in SIGMAS}
    differences = {group: found for group, found in differences.items() if found}
    if differences:
        label = reference_label(findings.references[0])
        figures.strips(differences, label, colors, folder / "fig2-paired.png")
    _draw_panels(findings, shown, wishes, folder / "fig3.png")
    models = findings.networks.get("CNBlind") or next(iter(findings.networks.values()))
    model = next(iter(models.values()))
    layers = kernels.read_layers(load_model(model).path)[:2]
    figures.filters(layers, f"{model}: filters of the first two layers", folder / "fig4.png")


def typical_picture(findings: Findings) -> str:
    """The picture of Fig. 3, by a rule and not by taste.

    At σ 50, that with the median PSNR of CN2: neither where it does best nor where it fails.

    Raises:
        PictureError: the network could not denoise any.
    """
    trained = [
        findings.networks[label][SHOWN_SIGMA]
        for label in ("CN2", *findings.networks)
        if SHOWN_SIGMA in findings.networks.get(label, {})
    ]
    found = median_picture(findings.psnr(trained[0], SHOWN_SIGMA)) if trained else None
    if found is None:
        msg = "No picture could be denoised at σ 50; the failed rows in results.jsonl say why."
        raise PictureError(msg)
    return found


def _draw_panels(findings: Findings, shown: str, wishes: Wishes, path: Path) -> None:
    """Fig. 3: the methods once more on one picture."""
    names = {label: models.get(SHOWN_SIGMA, "") for label, models in findings.networks.items()}
    names |= {reference_label(name): name for name in findings.references}
    known = {
        label: findings.psnr(name, SHOWN_SIGMA).get(shown, math.nan)
        for label, name in {"noisy": "noisy", **names}.items()
    }
    psnr = {label: value for label, value in known.items() if not math.isnan(value)}
    spec = noise_spec(SHOWN_SIGMA)
    draw_shown(findings.suite, shown, spec, names, psnr, path, threads=wishes.threads)
