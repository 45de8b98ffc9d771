"""The command: one frozen dataclass per verb; a verb's body is imports and one call.

Attribute docstrings are the help texts. Exit codes: 0 all good, 1 some files failed, 2 usage
(or a model that cannot be used), 130 interrupted, 141 the reader of a pipe has gone, 143 told to
end (SIGTERM).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, arg, subcommand

from degrain.cli_bench import BENCH_VERBS, Bench
from degrain.errors import DegrainError, ModelError, UsageError
from degrain.interrupt import end_in_order

DESCRIPTION = "Takes the noise out of pictures without being told how noisy they are."
USAGE, INTERRUPTED, PIPE_CLOSED = 2, 130, 141

PICTURE = arg(metavar="PICTURE")
PICTURES = arg(metavar="PICTURE [PICTURE ...]")


class Verb(Protocol):
    """Something the command can do."""

    def run(self) -> int:
        """Do it and return the exit code."""
        ...


@dataclass(frozen=True)
class Denoise:
    """Denoise pictures: photo.jpg becomes photo.denoised.jpg beside it, depth and metadata kept."""

    inputs: Annotated[Positional[tuple[Path, ...]], PICTURES]
    """Pictures or folders; - reads one picture from standard input."""
    output: Annotated[str | None, arg(aliases=("-o",), metavar="PATH")] = None
    """A file, a folder (several inputs, or a slash at its end), or - for standard output."""
    model: Annotated[str, arg(metavar="auto|fast|NAME|FILE.onnx")] = "auto"
    """The network: auto picks by channels and noise, fast a small one; see `degrain models`."""
    strength: Annotated[float, arg(metavar="0..1")] = 1.0
    """How much of the noise to take out: 0 nothing, 1 all of it."""
    sigma: Annotated[float | None, arg(metavar="0..255")] = None
    """The noise level where you know better: standard deviation in 8-bit gray levels."""
    detail: Annotated[float | None, arg(metavar="0..1")] = None
    """For models with two ends (divakar-babu): 0 is faithful, 1 makes up the most texture."""
    precision: Annotated[str, arg(metavar="auto|float|int8")] = "auto"
    """int8 is about twice as fast; auto takes it for noisy 8-bit pictures on fitting processors."""
    threads: Annotated[int | None, arg(metavar="N")] = None
    """Processor threads; as many as there are when not given."""
    memory_mb: Annotated[int, arg(metavar="N")] = 1024
    """Memory for the network, in MB; large pictures go through in exact tiles."""
    recursive: bool = False
    """Go into folders inside of folders; the tree is kept in the output."""
    overwrite: bool = False
    """Replace outputs that exist; otherwise they count as done and are skipped."""
    dry_run: bool = False
    """Only say what would be done."""
    json: bool = False
    """Print one JSON object per picture instead of a line for people."""
    quiet: bool = False
    """Print nothing but errors (and the JSON that --json asks for)."""

    def run(self) -> int:
        """See the class."""
        from degrain.batch import denoise_all

        return denoise_all(self)


@dataclass(frozen=True)
class Estimate:
    """Say how noisy pictures are: the noise standard deviation of each channel."""

    inputs: Annotated[Positional[tuple[Path, ...]], PICTURES]
    """Pictures, or - for standard input."""
    json: bool = False
    """Print one JSON object per picture."""

    def run(self) -> int:
        """See the class."""
        from degrain.verbs import estimate_all

        return estimate_all(self.inputs, as_json=self.json)


@dataclass(frozen=True)
class AddNoise:
    """Add noise to a clean picture, to try things out or to measure; same seed, same noise."""

    input: Annotated[Positional[Path], PICTURE]
    """The clean picture."""
    output: Annotated[Path, arg(aliases=("-o",), metavar="PATH")]
    """Where the noisy picture goes; PNG or TIFF keep the noise as it is, JPEG does not."""
    noise: Annotated[str, arg(metavar="SPEC")]
    """gaussian:25, gaussian:0-55, poisson:30, poisson-gaussian:0.01,0.02, jpeg:40,
    mask:0.5, text:12 or camera."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Number that decides the random draw."""
    overwrite: bool = False
    """Replace the output if it exists."""

    def run(self) -> int:
        """See the class."""
        from degrain.verbs import add_noise_to_file

        return add_noise_to_file(self.input, self.output, self.noise, self.seed, self.overwrite)


@dataclass(frozen=True)
class Compare:
    """Measure how close pictures are to a clean one: PSNR in dB and SSIM."""

    clean: Annotated[Positional[Path], PICTURE]
    """The clean picture."""
    others: Annotated[Positional[tuple[Path, ...]], PICTURES]
    """The pictures to judge; same size and channels as the clean one."""
    json: bool = False
    """Print one JSON object per picture."""

    def run(self) -> int:
        """See the class."""
        from degrain.verbs import compare_all

        return compare_all(self.clean, self.others, as_json=self.json)


@dataclass(frozen=True)
class Models:
    """List the models, or show one card: size, reach, license, training data, quality."""

    name: Annotated[Positional[str | None], arg(metavar="NAME")] = None
    """A model's name or an ONNX file; without it all are listed."""
    json: bool = False
    """Print one JSON object per model."""

    def run(self) -> int:
        """See the class."""
        from degrain.about import show_models

        return show_models(self.name, as_json=self.json)


@dataclass(frozen=True)
class Train:
    """Train a network on your own pictures and your own noise (needs degrain[train])."""

    recipe: Annotated[Positional[str], arg(metavar="RECIPE")]
    """Which network and how: degrain-gray, degrain-color, divakar-babu, jain-seung ..."""
    run_folder: Annotated[Path, arg(name="run", aliases=("-o",), metavar="FOLDER")]
    """The run folder: checkpoints, metrics, configuration."""
    data: Annotated[tuple[Path, ...], arg(metavar="FOLDER|FILE.npz ...")] = ()
    """Folders of clean pictures, or packs made by `degrain pack`."""
    pairs: Annotated[tuple[Path, Path] | None, arg(metavar="NOISY CLEAN")] = None
    """Two folders with the same file names: real noisy pictures and clean ones."""
    resume: bool = False
    """Go on from the last checkpoint of the run folder."""
    steps: Annotated[int | None, arg(metavar="N")] = None
    """Budget in steps, instead of the recipe's."""
    minutes: Annotated[float | None, arg(metavar="M")] = None
    """Budget in minutes, instead of the recipe's."""
    noise: Annotated[str | None, arg(metavar="SPEC")] = None
    """Noise to train on, instead of the recipe's."""
    batch: Annotated[int | None, arg(metavar="N")] = None
    """Crops a step, instead of the recipe's."""
    crop: Annotated[int | None, arg(metavar="PIXELS")] = None
    """Side of a crop, instead of the recipe's; pictures must be at least as large."""
    loss: Annotated[str | None, arg(metavar="rms|psnr|soft-psnr|l1|mse|charbonnier")] = None
    """What is made small, instead of the recipe's."""
    teacher: Annotated[str | None, arg(metavar="MODEL|RUN")] = None
    """Learn from the answers of this better U-Net too, which makes small batches less noisy."""
    told_teacher: Annotated[str | None, arg(metavar="MODEL|RUN")] = None
    """Learn from this network for white noise too where noise looks like detail."""
    told_share: Annotated[float | None, arg(metavar="SHARE")] = None
    """What its answers count there, instead of the recipe's 0.6."""
    drawn: Annotated[float | None, arg(metavar="SHARE")] = None
    """Share of the crops that get shapes and letters drawn over them, instead of the recipe's."""
    uneven: Annotated[float | None, arg(metavar="SHARE")] = None
    """Share of the crops whose gaussian noise grows with the light, as that of photons, or is
    clipped, instead of the recipe's."""
    lr: Annotated[float | None, arg(metavar="X")] = None
    """First step length, instead of the recipe's; a smaller one suits fine-tuning."""
    seed: Annotated[int | None, arg(metavar="N")] = None
    """Number that decides all random draws, instead of the recipe's."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda")] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    start: Annotated[str | None, arg(metavar="MODEL|RUN")] = None
    """Start from the weights of this model (name or ONNX file) or run folder: fine-tuning."""
    ids: Annotated[str | None, arg(metavar="NAME|FILE")] = None
    """Train on listed pictures only: bsds300-train, jain-seung-cn1, jain-seung-cn2, or a file, one
    id a line."""
    phases: Annotated[str | None, arg(metavar="1,2,3")] = None
    """Only with divakar-babu recipes: which of the three phases; the budget is theirs alone."""
    vgg: Annotated[str | None, arg(metavar="FILE|torchvision")] = None
    """Weights of VGG19 for phase 3; torchvision downloads them; default: $DEGRAIN_VGG19."""
    discriminator: Annotated[str | None, arg(metavar="vgg|scratch")] = None
    """Who judges in phase 3: VGG19 with a trained head, or a small network trained from scratch."""
    lp_weight: Annotated[float | None, arg(metavar="X")] = None
    """Weight of the regularizer of phase 2; 0 leaves it out."""
    lp_power: Annotated[float | None, arg(metavar="P")] = None
    """Power p of that regularizer."""

    def run(self) -> int:
        """See the class."""
        from degrain.train_verbs import train_run

        return train_run(self)


@dataclass(frozen=True)
class Pack:
    """Pack folders of pictures into one file that `degrain train --data` reads."""

    folders: Annotated[Positional[tuple[Path, ...]], arg(metavar="FOLDER [FOLDER ...]")]
    """Folders of clean pictures, searched with the folders inside."""
    output: Annotated[Path, arg(aliases=("-o",), metavar="FILE.npz")]
    """The pack."""
    shrink: Annotated[int, arg(metavar="N")] = 1
    """Make pictures N times smaller, by means of N×N pixels: grain that they have gets weaker."""

    def run(self) -> int:
        """See the class."""
        from degrain.train_verbs import pack_folders

        return pack_folders(self.folders, self.output, self.shrink)


@dataclass(frozen=True)
class Export:
    """Write the network of a training run as an ONNX file with its card (needs degrain[train])."""

    sources: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN [RUN|MODEL ...]")]
    """A run folder of `degrain train`; with others that go on from one another, or models (NAME or
    FILE.onnx) that it began with, the mean of all. What is named twice counts twice."""
    output: Annotated[Path, arg(aliases=("-o",), metavar="FILE.onnx")]
    """The model file; `degrain denoise --model FILE.onnx` uses it."""
    half: bool = False
    """Store the weights in half precision: half the file, and answers that differ in the fourth
    digit."""

    def run(self) -> int:
        """See the class."""
        from degrain.train_verbs import export_model

        return export_model(self.sources, self.output, half=self.half)


@dataclass(frozen=True)
class Quantize:
    """Write an 8-bit version beside a model's file, for twice the speed (needs degrain[train])."""

    model: Annotated[Positional[str], arg(metavar="NAME|FILE.onnx")]
    """A model with its card; MODEL.int8.onnx appears beside it and the card names it."""
    data: Annotated[tuple[Path, ...], arg(metavar="FOLDER|FILE.npz ...")] = ()
    """Clean pictures, best those it was trained on: folders, or packs made by `degrain pack`."""
    noise: Annotated[tuple[str, ...], arg(metavar="SPEC ...")] = ()
    """Noise it will meet, instead of the noise that the card says; several take turns."""
    steps: Annotated[int | None, arg(metavar="N")] = None
    """Steps of fine-tuning, instead of the usual; 0: none, which is quicker and loses more."""

    def run(self) -> int:
        """See the class."""
        from degrain.train_verbs import quantize_model

        return quantize_model(self.model, self.data, self.noise, self.steps)


@dataclass(frozen=True)
class Info:
    """Versions, processors, folders: paste this into bug reports."""

    json: bool = False
    """Print one JSON object."""
    version: bool = False
    """Print only degrain's version, as `degrain --version` does."""

    def run(self) -> int:
        """See the class."""
        from degrain.about import show_info

        return show_info(as_json=self.json, only_version=self.version)


VERBS: Any = (
    Annotated[Denoise, subcommand("denoise")]
    | Annotated[Estimate, subcommand("estimate")]
    | Annotated[AddNoise, subcommand("add-noise")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Models, subcommand("models")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Pack, subcommand("pack")]
    | Annotated[Export, subcommand("export")]
    | Annotated[Quantize, subcommand("quantize")]
    | Annotated[Bench, subcommand("bench")]
    | Annotated[Info, subcommand("info")]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        argv: the words after `degrain`; the process's own when None.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words == ["--version"]:
            words = ["info", "--version"]
        code = _parse(words).run()
        if sys.stdout is not None:  # closed by who started us
            sys.stdout.flush()
    except (UsageError, ModelError) as error:
        return _say(error, USAGE)
    except DegrainError as error:
        return _say(error, 1)
    except KeyboardInterrupt:
        return _say("Interrupted; files that were finished are whole.", INTERRUPTED)
    except BrokenPipeError:
        _close_output()
        return PIPE_CLOSED
    except OSError as error:
        from degrain.outcome import unwritable

        _close_output()
        return _say(unwritable(error), 1)
    return code


def _close_output() -> None:
    """Python flushes standard output once more when it ends; let that go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def entry() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # a file name that the terminal cannot show must not stop the batch
            stream.reconfigure(errors="backslashreplace")
    end_in_order()
    sys.exit(main())


def _parse(words: list[str]) -> Verb:
    """Words to a verb; wrong ones end with exit code 2 and help with 0, both by tyro."""
    config = (FlagCreatePairsOff,)
    if words[:1] == ["bench"] and words[1:2] and words[1] in BENCH_VERBS:
        what = BENCH_VERBS[words[1]]
        inner: Verb = tyro.cli(
            what, args=words[2:], prog=f"degrain bench {words[1]}", config=config
        )
        return inner
    verb: Verb = tyro.cli(VERBS, args=words, prog="degrain", description=DESCRIPTION, config=config)
    return verb


def _say(message: object, code: int) -> int:
    """One line on standard error."""
    print(f"degrain: {message}", file=sys.stderr)
    return code
