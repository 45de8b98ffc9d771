"""The options of `degrain bench` and of what may follow it; other verbs are in `degrain.cli`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Bench:
    """Measure denoisers on a folder of clean pictures; `bench report RESULTS` prints the table.

    `bench cost -o FILE.json` measures time and memory, `bench filters MODEL -o FILE.png` draws a
    model's learned filters, `bench learn epll|foe` learns the parameters of a baseline.
    """

    suite: Annotated[Positional[str], arg(metavar="SUITE")]
    """gray: color pictures are made gray first; color: RGB pictures as they are; photons,
    photons-color: Poisson noise; bsd68, berkeley100, set12, kodak24, mcmaster, urban100 and the
    same with -color: that data set, found below --data; jain-seung, divakar-babu: the
    experiments of these papers, with a report."""
    data: Annotated[Path, arg(metavar="FOLDER")]
    """Folder of clean pictures, or one with a named data set somewhere below."""
    output: Annotated[Path, arg(aliases=("-o",), metavar="RESULTS")]
    """Folder or .jsonl file for one line per picture, noise and method; it is continued."""
    method: Annotated[tuple[str, ...], arg(metavar="NAME ...")] = ()
    """Model names, detail:MODEL (its other end), onnx:FILE, python:FILE, noisy, bm3d, nlm,
    nlm-skimage, wavelet, tv, ksvd, epll, wnnm, bls-gsm, foe; NAME@SIGMA tells a method this level
    (of 255) whatever the noise is; noisy and auto when not given. For an experiment: what the
    paper's networks are compared with."""
    noise: Annotated[tuple[str, ...], arg(metavar="SPEC ...")] = ()
    """Noise specs; gaussian:15, gaussian:25 and gaussian:50 when not given."""
    conversion: Annotated[str, arg(metavar="luma|average")] = "luma"
    """How color becomes gray."""
    protocol: Annotated[str, arg(metavar="float|clip8")] = "float"
    """Noisy pictures as floats, or clipped and rounded to 8 bits."""
    ids: Annotated[Path | None, arg(metavar="FILE")] = None
    """Text file that lists the pictures to take, one name a line."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """Take the first N pictures only."""
    noisy: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Real noisy pictures with the names of the clean ones; no noise is added."""
    quick: bool = False
    """A taste: the first five pictures, if --limit says nothing else; in suites only their
    middles, one noise, and quick methods."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Number that decides the noise."""
    threads: Annotated[int | None, arg(metavar="N")] = None
    """Processor threads; as many as there are when not given."""
    processes: Annotated[int, arg(metavar="N")] = 1
    """Pictures worked on at once, each in a process; threads share the cores."""
    voc: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Pictures of PASCAL VOC, for the experiment divakar-babu."""
    voc_ids: Annotated[Path | None, arg(metavar="FILE")] = None
    """Text file that lists those to take; 200 drawn by the seed when not given."""
    runs: Annotated[tuple[Path, ...], arg(metavar="RUN ...")] = ()
    """Run folders of degrain train, for the experiment divakar-babu: the curves of the first, and
    where each of them ended."""
    slow_pictures: Annotated[int, arg(metavar="N")] = 10
    """Slow methods (ksvd, epll, wnnm, bls-gsm, foe) get a seeded subset of N pictures; 0: all."""
    quiet: bool = False
    """Show no progress bar."""

    def run(self) -> int:
        """See the class."""
        from degrain.bench_verb import bench_suite

        return bench_suite(self)


@dataclass(frozen=True)
class BenchReport:
    """Print the results of `degrain bench` as Markdown tables, and write them in other forms."""

    results: Annotated[Positional[Path], arg(metavar="RESULTS")]
    """What `degrain bench -o` wrote."""
    html: Annotated[Path | None, arg(metavar="FILE")] = None
    """One page with tables, plots and crops that needs no other file (needs degrain[bench])."""
    csv: Annotated[Path | None, arg(metavar="FILE")] = None
    """The means as CSV."""
    against: Annotated[str | None, arg(metavar="METHOD")] = None
    """The method that the others are compared with, picture by picture; the best when not given."""
    ids: Annotated[Path | None, arg(metavar="FILE")] = None
    """Text file that lists the pictures to look at, one name a line; all when not given."""

    def run(self) -> int:
        """See the class."""
        from degrain.bench.commands import bench_report

        return bench_report(self)


@dataclass(frozen=True)
class BenchCost:
    """Measure what methods cost: time, memory, multiply-accumulates."""

    output: Annotated[Path, arg(aliases=("-o",), metavar="FILE.json")]
    """The measurements."""
    method: Annotated[tuple[str, ...], arg(metavar="NAME ...")] = ("auto",)
    """The methods, as for `degrain bench`."""
    color: bool = False
    """On color pictures instead of gray ones."""
    sides: Annotated[tuple[int, ...], arg(metavar="PIXELS ...")] = (256, 512, 1024)
    """Sides of the square pictures."""
    threads: Annotated[tuple[int, ...], arg(metavar="N ...")] = (1, 2)
    """Numbers of threads to try."""
    runs: Annotated[int, arg(metavar="N")] = 3
    """Turns; the median counts."""
    quiet: bool = False
    """Show no progress bar."""

    def run(self) -> int:
        """See the class."""
        from degrain.bench.commands import bench_cost

        return bench_cost(self)


@dataclass(frozen=True)
class BenchLearn:
    """Learn the parameters of a baseline, epll or foe, from training pictures."""

    name: Annotated[Positional[str], arg(metavar="epll|foe")]
    """The baseline."""
    data: Annotated[Path, arg(metavar="FOLDER")]
    """Training pictures; none that are judged later."""
    output: Annotated[Path, arg(aliases=("-o",), metavar="FILE.npz")]
    """The parameters; `--method epll:FILE.npz` uses them."""
    effort: Annotated[float, arg(metavar="0..1")] = 1.0
    """Share of the components, patches and rounds, or of the steps."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Number that decides all random draws."""

    def run(self) -> int:
        """See the class."""
        from degrain.bench.commands import bench_learn

        return bench_learn(self)


@dataclass(frozen=True)
class BenchFilters:
    """Draw the learned filters of a convolutional model (needs degrain[bench])."""

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    """A model's name or an ONNX file."""
    output: Annotated[Path, arg(aliases=("-o",), metavar="FILE.png")]
    """The picture."""
    layers: Annotated[int, arg(metavar="N")] = 2
    """How many layers, from the first; those with 1×1 filters are passed over."""

    def run(self) -> int:
        """See the class."""
        from degrain.bench_verb import bench_filters

        return bench_filters(self.model, self.output, self.layers)


BENCH_VERBS: dict[str, Any] = {
    "report": BenchReport,
    "filters": BenchFilters,
    "learn": BenchLearn,
    "cost": BenchCost,
}
"""What may follow `degrain bench` instead of a suite."""
