"""Three-phase training: Divakar & Babu 2017, whole, resumable inside and between the phases.

A run folder holds `config.json`, `checkpoint.pt`, `metrics.jsonl`, and `phase-1.pt`, `phase-2.pt`,
`phase-3.pt`: the averaged weights each phase ended with.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from degrain.errors import TrainingError, UsageError
from degrain.nets import NETS
from degrain.nets.divakar_babu_2017 import MultiScaleDampedNet
from degrain.train import checkpoint, phases, recipes
from degrain.train.data import CropSource, Pack, load, split
from degrain.train.devices import choose_device, compile_for, cpu_has_bfloat16, prepare
from degrain.train.discriminator import Discriminator, scratch_backbone
from degrain.train.journal import Journal, write_config
from degrain.train.phases import STAGES
from degrain.train.stages import PHASES, Progress, Training, restore, run_stage
from degrain.train.start import load_weights
from degrain.train.three_phase_recipes import THREE_PHASE, ThreePhaseRecipe, checked, from_json
from degrain.train.vgg import load_vgg
from degrain.train.watch import Validation

FEWEST_PICTURES: Final = 10
VALIDATION_PICTURES: Final = 7
"""As many as the paper watches."""
VALIDATION_SIDE: Final = 128
BUDGET: Final = ("steps", "minutes")
"""Fields of the recipe that a resumed run may change, beside its phases."""


def train_three_phase(
    recipe: str,
    *,
    run: Path,
    data: Sequence[Path],
    phases_wanted: str | None = None,
    resume: bool = False,
    start: str | None = None,
    vgg: str | Path | None = None,
    device: str = "auto",
    quiet: bool = False,
    **changes: Any,
) -> Training:
    """Train a net of Divakar & Babu 2017; see `degrain train --help`.

    Args:
        recipe: name in `THREE_PHASE`.
        run: folder of the run; made here.
        data: folders of clean pictures, or packs made by `degrain pack`.
        phases_wanted: such as `1,2`; None: all, or those the run began with.
        resume: go on from the run's checkpoint with the run's own recipe; the budget and the
            phases may change.
        start: model or run of the same net whose weights it begins with.
        vgg: weights of VGG19, see `load_vgg`; needed for phase 3 with its discriminator.
        device: `auto`, `cpu`, `cuda` ...
        quiet: show no progress.
        changes: fields of the recipe to replace; None leaves the recipe's value.

    Raises:
        UsageError: the request contradicts itself.
        TrainingError: pictures or weights are missing, or training went wrong.
        ModelError: the weights of VGG19 or of `start` do not fit.
    """
    settled, wanted = _settle(recipe, run, phases_wanted, resume, {**changes, "start": start})
    target = choose_device(device)
    prepare(target)
    judge = _discriminator(settled, vgg, target) if "3" in wanted else None
    training = _open(settled, _stages(wanted), run, data, judge, target, quiet=quiet)
    before = read_run(run)[0] if resume else {}
    if resume:
        saved = checkpoint.load(run / "checkpoint.pt", target)
        _require_stage(saved["progress"]["stage"], training.stages)
        restore(training, saved)
    elif start is not None:
        load_weights(training.players.net, start)
        training.players.average.load_state_dict(training.players.net.state_dict())
    compile_for(training.players.net, target)
    _require_phase_2(training)
    config = {
        "name": recipe,
        "phases": list(wanted),
        "recipe": dataclasses.asdict(settled),
        "data": [path.name for path in data],
        "start": start and Path(start).name,
        "pictures": len(training.crops.sizes),
        "torch": torch.__version__,
    }
    write_config(_went_on(before, config) if resume else config, run)
    try:
        for stage in training.stages:
            if stage not in training.progress.done:
                run_stage(training, stage)
    finally:
        training.journal.close()
    return training


def parse_phases(text: str) -> tuple[str, ...]:
    """Read `1,2,3` or a part of it.

    Raises:
        UsageError: there is no such phase.
    """
    wanted = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not wanted or set(wanted) - set(PHASES):
        msg = f"{text!r} names no phases; write for example 1,2 or 3."
        raise UsageError(msg)
    return tuple(sorted(wanted))


def build(recipe: ThreePhaseRecipe) -> MultiScaleDampedNet:
    """The recipe's net with fresh weights from its seed."""
    torch.manual_seed(recipe.seed)
    net = NETS[recipe.net](**recipe.options)
    assert isinstance(net, MultiScaleDampedNet)
    net.fast_damping = recipe.fast and (torch.cuda.is_available() or cpu_has_bfloat16())
    if recipe.fast:
        # Products in bfloat16 are a third faster with the maps of a pixel side by side.
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


def read_run(run: Path) -> tuple[dict[str, Any], ThreePhaseRecipe]:
    """The configuration of a run folder and its recipe.

    Raises:
        TrainingError: there is no three-phase run.
    """
    try:
        config: dict[str, Any] = json.loads((run / "config.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        msg = f"{run} holds no run ({error}); start one without --resume."
        raise TrainingError(msg) from error
    if "phases" not in config:
        msg = f"{run} holds a run of {config.get('name')}, not one in three phases."
        raise TrainingError(msg)
    return config, from_json(config["recipe"])


def read_phase(run: Path, phase: str, recipe: ThreePhaseRecipe) -> MultiScaleDampedNet:
    """The net as a phase left it, for use.

    Raises:
        TrainingError: the phase has not ended.
    """
    path = run / f"phase-{phase}.pt"
    if not path.is_file():
        msg = f"Phase {phase} of {run} has not ended; go on with --resume --phases {phase}."
        raise TrainingError(msg)
    net = build(recipe)
    net.load_state_dict(checkpoint.load(path)["net"])
    return net.eval()


def _settle(
    name: str, run: Path, phases_wanted: str | None, resume: bool, changes: Mapping[str, Any]
) -> tuple[ThreePhaseRecipe, tuple[str, ...]]:
    """The recipe and the phases that this call shall train."""
    given = {key: value for key, value in changes.items() if value is not None}
    if resume:
        return _resumed(run, phases_wanted, given)
    if (run / "checkpoint.pt").exists():
        msg = f"{run} already holds a run; give --resume to go on, or another folder."
        raise UsageError(msg)
    wanted = parse_phases(phases_wanted or ",".join(PHASES))
    given.pop("start", None)
    recipe = _with_budget(THREE_PHASE[name](), given)
    if "1" not in wanted:
        # Phase 1 has not taught the features anything, so phase 2 must.
        recipe = dataclasses.replace(recipe, freeze=False)
    return checked(recipe), wanted


def _resumed(
    run: Path, phases_wanted: str | None, given: dict[str, Any]
) -> tuple[ThreePhaseRecipe, tuple[str, ...]]:
    extra = sorted(set(given) - {"steps", "minutes"})
    if extra:
        msg = f"--resume keeps the run's own {', '.join(extra)}; leave that option out."
        raise UsageError(msg)
    config, recipe = read_run(run)
    latest = _latest(config)
    recipe = dataclasses.replace(recipe, **{key: latest[key] for key in BUDGET})
    wanted = parse_phases(phases_wanted) if phases_wanted else tuple(latest["phases"])
    return _with_budget(recipe, given), wanted


def _with_budget(recipe: ThreePhaseRecipe, given: dict[str, Any]) -> ThreePhaseRecipe:
    """The recipe with the given fields; steps and minutes exclude each other."""
    steps, minutes = given.pop("steps", None), given.pop("minutes", None)
    if "lr" in given:
        # Fine-tuning takes small steps everywhere: the biases' go with the kernels'.
        given.setdefault("lr_biases", recipe.lr_biases * given["lr"] / recipe.lr)
    recipe = dataclasses.replace(recipe, **given)
    if steps is None and minutes is None:
        return recipe
    probe = recipes.with_budget(recipes.tiny_gray(), steps, minutes)
    return dataclasses.replace(recipe, steps=probe.steps, minutes=probe.minutes)


def _stages(wanted: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        stage for stage in STAGES if stage in wanted or (stage == "cold" and "3" in wanted)
    )


def _discriminator(
    recipe: ThreePhaseRecipe, vgg: str | Path | None, device: torch.device
) -> Discriminator:
    torch.manual_seed(recipe.seed + 1)
    frozen = recipe.discriminator == "vgg"
    backbone: nn.Module = load_vgg(vgg) if frozen else scratch_backbone(recipe.channels)
    try:
        return Discriminator(backbone, recipe.crop).to(device)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _open(
    recipe: ThreePhaseRecipe,
    stages: tuple[str, ...],
    run: Path,
    data: Sequence[Path],
    judge: Discriminator | None,
    device: torch.device,
    *,
    quiet: bool,
) -> Training:
    if not data:
        msg = "Give --data with folders of clean pictures; the three phases make their own noise."
        raise UsageError(msg)
    train_pack, held_out = split(load(data))
    _require_enough(train_pack, recipe.crop)
    crops = CropSource(
        train_pack, channels=recipe.channels, crop=recipe.crop, gray=recipe.gray, device=device
    )
    validation = {
        stage: Validation(
            held_out,
            specs=("gaussian:0",) if stage == "1" else recipe.validation_noise,
            channels=recipe.channels,
            gray=recipe.gray,
            device=device,
            most=VALIDATION_PICTURES,
            side=VALIDATION_SIDE,
        )
        for stage in stages
    }
    players = phases.new_players(build(recipe).to(device), judge)
    return Training(recipe, stages, players, Progress(), crops, validation, Journal(run, quiet))


def _went_on(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a run that is resumed: how it began, and then what was asked for."""
    wish = {"phases": now["phases"], **{key: now["recipe"][key] for key in BUDGET}}
    later = list(before.get("later", ()))
    if wish != _latest(before):
        later.append(wish)
    return {**before, "later": later}


def _latest(config: Mapping[str, Any]) -> dict[str, Any]:
    """Phases and budget that a run was last asked for."""
    first = {"phases": config["phases"], **{key: config["recipe"][key] for key in BUDGET}}
    latest: dict[str, Any] = [first, *config.get("later", ())][-1]
    return latest


def _require_stage(stage: str, stages: Sequence[str]) -> None:
    """A stage that was begun has to be among those that are wanted."""
    if stage and stage not in stages:
        wanted = "3" if stage == "cold" else stage
        msg = f"The run stopped in phase {wanted}, which must end first; add it to --phases."
        raise UsageError(msg)


def _require_phase_2(training: Training) -> None:
    """Phase 3 has nothing to play with before phase 2 has ended."""
    if "3" in training.stages and not {"2"} & {*training.stages, *training.progress.done}:
        msg = "Phase 3 goes on from phase 2; train --phases 1,2 first, then --resume --phases 3."
        raise UsageError(msg)


def _require_enough(packed: Pack, crop: int) -> None:
    usable = sum(min(picture.shape[:2]) >= crop for picture in packed.pictures)
    if usable < FEWEST_PICTURES:
        msg = (
            f"Only {usable} of {len(packed.pictures)} training pictures are at least {crop}×{crop} "
            f"pixels; give {FEWEST_PICTURES} or more (hundreds are good), or a smaller --crop."
        )
        raise TrainingError(msg)
