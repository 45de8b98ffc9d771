"""The verbs of training: `train`, `pack`, `export` and `quantize`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from degrain.errors import UsageError
from degrain.extras import needs_extra

if TYPE_CHECKING:
    from degrain.cli import Train


def train_run(options: Train) -> int:
    """Train a network; the body of `degrain train`."""
    with needs_extra("train", "Training"):
        from degrain.train.setup import train
        from degrain.train.three_phase_recipes import THREE_PHASE

        if options.recipe in THREE_PHASE:
            return _train_three_phase(options)
        _refuse_three_phase_options(options)
        train(
            options.recipe,
            run=options.run_folder,
            data=options.data,
            pairs=options.pairs,
            resume=options.resume,
            start=options.start,
            ids=options.ids,
            device=options.device,
            steps=options.steps,
            minutes=options.minutes,
            noise=options.noise,
            batch=options.batch,
            crop=options.crop,
            loss=options.loss,
            teacher=options.teacher,
            told_teacher=options.told_teacher,
            told_share=options.told_share,
            leaves=options.drawn,
            uneven=options.uneven,
            lr=options.lr,
            seed=options.seed,
        )
    return 0


def _train_three_phase(options: Train) -> int:
    """Train a net of Divakar & Babu 2017, and draw its curves where matplotlib is installed."""
    from degrain.train.curves import draw_run
    from degrain.train.three_phase import train_three_phase

    if options.pairs or options.ids:
        msg = "The three phases train on folders of clean pictures: leave --pairs and --ids out."
        raise UsageError(msg)
    told = options.told_teacher or options.told_share is not None
    if options.teacher or told or options.loss:
        msg = "The three phases have losses and a judge of their own: no --loss, no teachers."
        raise UsageError(msg)
    if options.drawn is not None or options.uneven is not None:
        msg = "The three phases train as the paper does: leave --drawn and --uneven out."
        raise UsageError(msg)
    training = train_three_phase(
        options.recipe,
        run=options.run_folder,
        data=options.data,
        phases_wanted=options.phases,
        resume=options.resume,
        start=options.start,
        vgg=options.vgg,
        device=options.device,
        steps=options.steps,
        minutes=options.minutes,
        noise=options.noise,
        batch=options.batch,
        crop=options.crop,
        lr=options.lr,
        seed=options.seed,
        discriminator=options.discriminator,
        lp_weight=options.lp_weight,
        lp_power=options.lp_power,
    )
    for line in draw_run(training):
        print(line)
    return 0


def _refuse_three_phase_options(options: Train) -> None:
    for name in ("phases", "vgg", "discriminator", "lp_weight", "lp_power"):
        if getattr(options, name) is not None:
            flag = name.replace("_", "-")
            msg = f"--{flag} is for the divakar-babu recipes; leave it out with {options.recipe}."
            raise UsageError(msg)


def pack_folders(folders: Sequence[Path], output: Path, shrink: int = 1) -> int:
    """Pack pictures into one file; the body of `degrain pack`."""
    if not folders or output.suffix != ".npz":
        msg = "Name folders of pictures and an output that ends in .npz."
        raise UsageError(msg)
    if shrink < 1:
        msg = f"Pictures cannot be made {shrink} times smaller; give --shrink 1 or more."
        raise UsageError(msg)
    with needs_extra("train", "Packing"):
        from degrain.train.data import pack

        pack(list(folders), output, shrink)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
    return 0


def export_model(sources: Sequence[Path], output: Path, *, half: bool = False) -> int:
    """Write the network of a run, the first source, as ONNX; the body of `degrain export`."""
    if not sources or output.suffix != ".onnx":
        msg = "Name the run folder to export, and an output that ends in .onnx."
        raise UsageError(msg)
    with needs_extra("train", "Exporting"):
        from degrain.train.export import export_run

        card = export_run(sources[0], output, *sources[1:], name=_own_name(output), half=half)
    print(f"{card.path}: {card.name}, halo {card.halo}, {card.parameters} parameters")
    return 0


def _own_name(output: Path) -> str:
    """What a model is called after its file: `NAME.onnx`, or `NAME/model.onnx` as in the zoo."""
    return output.resolve().parent.name if output.stem == "model" else output.stem


def quantize_model(
    model: str, data: Sequence[Path], noise: Sequence[str], steps: int | None
) -> int:
    """Write the 8-bit version of a model; the body of `degrain quantize`."""
    with needs_extra("train", "Quantizing"):
        from degrain.train.quantize import quantize

        card = quantize(model, data, noise=noise, steps=steps)
    loss = ", ".join(f"{spec} {decibels:.3f}" for spec, decibels in card.int8_loss.items())
    print(f"{card.path.with_name(card.int8_model)}: {card.name} in 8 bits; dB lost: {loss}")
    return 0
