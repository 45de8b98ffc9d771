"""Quantize: an 8-bit version beside a model, and what it loses, measured, on the model's card.

Ranges come from training pictures with the noise that the model was trained on, and are then
fine-tuned with the kernels (`degrain.train.aware`); the loss is measured on pictures held out, as
training does it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from degrain.depth import unit_floats
from degrain.engines.gain import GainEngine, gain_for
from degrain.engines.onnx import OnnxEngine, available_threads, open_session
from degrain.engines.protocol import Engine
from degrain.errors import TrainingError, UsageError
from degrain.estimate import noise_level_255, rms
from degrain.noise import parse_noise
from degrain.progress import shown
from degrain.train.aware import STEPS, Lessons, fine_tune
from degrain.train.body import Body, Floats, read_body
from degrain.train.data import Pack, load, split, to_channels
from degrain.train.qdq import Numbers, write_qdq
from degrain.train.ranges import even_out, kernel_scales, tensor_scale
from degrain.train.watch import Validation
from degrain.train.whole import whole_file
from degrain.zoo.card import ModelCard, write_card
from degrain.zoo.store import card_file, load_model

PICTURES, SIDE, PLACES = 48, 192, 2000
"""How many pictures the ranges come from, the side of their central part, and how many places
of each are kept of every tensor."""
CROPS, MOST_CROPS, CROP = 480, 2400, 64
"""How many crops are learned from, how many when there are more steps than that, and their side.
(Learned by heart, 480 crops made the loss on other pictures worse after a thousand steps.)"""
LEAST_ERROR = (4 / 255) ** 2
"""Added to the squared error of a crop, so that nearly clean ones, for which bytes are too coarse
anyhow, do not decide."""
SUITS_255 = 25.0
"""The noise that pictures are brought towards, see `degrain.engines.gain`."""
LEVELS_255 = (2, 5, 10, 15, 25, 50, 75)
"""Levels of Gaussian noise at which the loss is measured."""


def quantize(
    model: str, data: Sequence[Path], *, noise: Sequence[str] = (), steps: int | None = None
) -> ModelCard:
    """Write `<model>.int8.onnx` beside a model's file and name it on the model's card.

    Args:
        model: a model's name or ONNX file; it needs a card.
        data: folders of clean pictures or packs; every 20th is held out to measure the loss.
        noise: specs of the noise that the ranges come from and that fine-tuning sees, picture by
            picture in turn; empty: what the card says.
        steps: of fine-tuning; 0: none; None: as many as usual.

    Raises:
        UsageError: no data, no such model, no such noise, steps below 0, or a model in 8 bits.
        ModelError: the model cannot be quantized.
        TrainingError: too few pictures, or a file that cannot be written.
    """
    if not data:
        msg = "Name pictures with --data: a folder of clean ones, or a pack."
        raise UsageError(msg)
    steps = STEPS if steps is None else steps
    if steps < 0:
        msg = f"--steps {steps} makes no sense; give 0 for no fine-tuning, or more."
        raise UsageError(msg)
    card = load_model(model)
    body = read_body(card.path)
    sheet = card_file(card)
    specs = _specs(card, noise)
    calibration, held_out = split(load(data))
    if not held_out.pictures:
        msg = "One picture is too few: some are held out to measure the loss; give more."
        raise TrainingError(msg)
    output = card.path.with_name(f"{card.path.stem}.int8.onnx")
    # The old model stays until the new one is measured: it belongs to the old card.
    with whole_file(output, "model") as partial:
        _write(body, Probe(body, card), calibration, specs, steps, partial)
        finished = replace(
            card,
            int8_model=output.name,
            int8_sha256=hashlib.sha256(partial.read_bytes()).hexdigest(),
            int8_sigma=SUITS_255,
            int8_loss=measure_loss(card, partial, held_out, specs),
        )
    try:
        write_card(finished, sheet)
    except OSError as error:
        msg = f"The card {sheet} cannot be written ({error}); choose a model in another folder."
        raise TrainingError(msg) from error
    return finished


def _specs(card: ModelCard, noise: Sequence[str]) -> tuple[str, ...]:
    """The noise that the ranges come from."""
    if noise:
        for spec in noise:
            parse_noise(spec)
        return tuple(noise)
    if not _makeable(card.noise):
        msg = f"The card of {card.name} names no noise that can be made; give one with --noise."
        raise UsageError(msg)
    return (card.noise,)


def _makeable(noise: str) -> str:
    """The spec, if it is one; the card of a model trained on pairs says something else."""
    try:
        parse_noise(noise)
    except UsageError:
        return ""
    return noise


def _write(
    body: Body, probe: Probe, packed: Pack, specs: Sequence[str], steps: int, output: Path
) -> None:
    """Choose all scales, fine-tune them with the kernels, and write the file."""
    weights, even, gains = even_out(body, _samples(body, probe, packed, specs))
    numbers = Numbers(
        weights,
        {name: kernel_scales(weights[name]) for name in body.inner},
        {name: tensor_scale(even[name], signed=signed) for name, signed in body.signed.items()},
        gains,
    )
    if steps:
        numbers = fine_tune(body, numbers, _lessons(probe, packed, specs, steps), steps)
    write_qdq(body, numbers, output)


class Probe:
    """The float network, asked for tensors inside of it.

    Args:
        body: of the network.
        card: its card.
    """

    def __init__(self, body: Body, card: ModelCard) -> None:
        from onnx import helper

        self.card = card
        self.picture = str(body.model.graph.output[0].name)
        self.head = str(body.nodes[0].output[0])
        model = type(body.model).FromString(body.model.SerializeToString())
        names = dict.fromkeys([self.head, *body.signed])
        model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
        self.session = open_session(model.SerializeToString(), card.path, available_threads())

    def ask(self, noisy: Floats, names: Sequence[str]) -> list[Floats]:
        """Tensors 1×C×H×W for a picture H×W×C."""
        x_nchw = np.ascontiguousarray(np.moveaxis(noisy, 2, 0))[None]
        answers: list[Floats] = self.session.run(names, {self.session.get_inputs()[0].name: x_nchw})
        return answers

    def pixels(self, picture: NDArray[Any]) -> Floats:
        """A picture in 0..1 with the model's channels, H×W×C."""
        return unit_floats(to_channels(picture, self.card.channels, self.card.gray))


def _samples(body: Body, probe: Probe, packed: Pack, specs: Sequence[str]) -> dict[str, Floats]:
    """Values of the tensors that become bytes, C×K, from noisy pictures."""
    names = list(body.signed)
    rng, noises = np.random.default_rng(0), cycle(parse_noise(spec) for spec in specs)
    kept: dict[str, list[Floats]] = {name: [] for name in names}
    for k in rng.permutation(len(packed.pictures))[:PICTURES]:
        clean = probe.pixels(middle(packed.pictures[k]))
        noisy = next(noises).add(clean, rng).astype(np.float32)
        noisy *= _gain(noisy, clean)
        for name, values in zip(names, probe.ask(noisy, names), strict=True):
            flat = values.reshape(values.shape[1], -1)
            kept[name].append(flat[:, rng.permutation(flat.shape[1])[:PLACES]])
    return {name: np.concatenate(parts, axis=1) for name, parts in kept.items()}


def _lessons(probe: Probe, packed: Pack, specs: Sequence[str], steps: int) -> Lessons:
    """Noisy crops as the first convolution answers them, and the float network's errors."""
    rng, noises = np.random.default_rng(1), cycle(parse_noise(spec) for spec in specs)
    sides = [min(picture.shape[:2]) for picture in packed.pictures]
    side = min(CROP, max(sides))
    large = [p for p, shorter in zip(packed.pictures, sides, strict=True) if shorter >= side]
    heads, errors = [], []
    chosen = rng.integers(len(large), size=max(CROPS, min(steps, MOST_CROPS)))
    for k in shown(chosen, "making noisy crops", "crop"):
        top, left = (rng.integers(size - side + 1) for size in large[k].shape[:2])
        clean = probe.pixels(large[k][top : top + side, left : left + side])
        noisy = next(noises).add(clean, rng).astype(np.float32)
        gain = _gain(noisy, clean)
        head, picture = probe.ask(gain * noisy, [probe.head, probe.picture])
        heads.append(head[0])
        error = np.square(picture[0] - gain * np.moveaxis(clean, 2, 0)).mean()
        errors.append(error + gain**2 * LEAST_ERROR)
    return Lessons(np.stack(heads), np.array(errors, np.float32))


def _gain(noisy: Floats, clean: Floats) -> np.float32:
    """What a picture of so much noise is multiplied by; in crops it cannot be estimated."""
    return np.float32(gain_for(255 * rms(noisy - clean), SUITS_255))


def measure_loss(
    card: ModelCard, output: Path, packed: Pack, specs: Sequence[str]
) -> dict[str, float]:
    """Decibels that the 8-bit version lies below the float one, for each noise.

    Not fused, so that they are the same on processors whose sums of bytes can overflow.
    """
    # the card's own noise too, where the ranges come from another
    others = dict.fromkeys(noise for noise in (_makeable(card.noise), *specs) if noise)
    levels = [f"gaussian:{level}" for level in LEVELS_255]
    levels += [noise for noise in others if not noise.startswith("gaussian")]
    sets = Validation(
        packed,
        specs=tuple(levels),
        channels=card.channels,
        gray=card.gray,
        device=torch.device("cpu"),
    ).sets
    floats, int8 = OnnxEngine(card.path), OnnxEngine(output, fused=False)
    loss = {}
    for name, pairs in shown(sets.items(), "measuring", "noise"):
        lost = [
            _decibels(_with_gain(int8, x.numpy()), x.numpy(), y.numpy())
            - _decibels(floats, x.numpy(), y.numpy())
            for x, y in pairs
        ]
        loss[name] = round(float(np.mean(lost)), 3)
    return loss


def _with_gain(engine: Engine, noisy_nchw: Floats) -> Engine:
    """The engine for a picture, as `degrain.Denoiser` takes it."""
    level = noise_level_255(np.moveaxis(noisy_nchw[0], 0, 2))
    return GainEngine(engine, gain_for(level, SUITS_255))


def _decibels(engine: Engine, noisy_nchw: Floats, clean_nchw: Floats) -> float:
    """How much error an engine leaves."""
    return float(10 * np.log10(np.square(engine.run(noisy_nchw) - clean_nchw).mean()))


def middle(picture: NDArray[Any]) -> NDArray[Any]:
    """The central part, as large as wanted or as there is."""
    top, left = (max(0, (size - SIDE) // 2) for size in picture.shape[:2])
    return picture[top : top + SIDE, left : left + SIDE]
