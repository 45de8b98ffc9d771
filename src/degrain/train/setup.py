"""Setting a run up: data, network, device and run folder, then `fit`."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from degrain.errors import TrainingError, UsageError
from degrain.noise import Gaussian, parse_noise
from degrain.train import checkpoint, lists, recipes
from degrain.train.data import CropSource, Pack, load, read_pairs, split
from degrain.train.devices import choose_device, join_processes, prepare
from degrain.train.fit import build_net, fit, new_state, takes_photographs
from degrain.train.journal import forget_after, write_config
from degrain.train.layerwise import fit_layers, stage
from degrain.train.losses import LOSSES, OF_ERROR
from degrain.train.recipes import Recipe
from degrain.train.state import State
from degrain.train.watch import Validation, Watch

FEWEST_PICTURES = 2


def train(
    recipe: str,
    *,
    run: Path,
    data: Sequence[Path] = (),
    pairs: tuple[Path, Path] | None = None,
    resume: bool = False,
    start: str | None = None,
    ids: str | None = None,
    device: str = "auto",
    quiet: bool = False,
    **changes: Any,
) -> State:
    """Train a recipe on folders, packs or pairs; see `degrain train --help`.

    Args:
        recipe: name in `recipes.RECIPES`.
        run: folder of the run; made here.
        data: folders of clean pictures, or packs made by `degrain pack`.
        pairs: a folder of noisy and a folder of clean pictures instead of `data`.
        resume: go on from the run's checkpoint with the run's own recipe.
        start: name or file of a model, or a run folder, whose weights to begin with.
        ids: name or file of a list of pictures: train on these only, see `lists.select`.
        device: `auto`, `cpu`, `cuda` ...
        quiet: no live line.
        changes: fields of the recipe to replace (`noise`, `loss`, `teacher`, `told_teacher`,
            `told_share`, `leaves`, `uneven`, `lr`, `seed`, `batch`, `crop`, `steps`, `minutes`);
            None leaves the recipe's value.

    Raises:
        UsageError: the request contradicts itself.
        TrainingError: the data does not suffice, or training went wrong.
    """
    settled = _settle(recipe, run, resume, {**changes, "start": start, "ids": ids})
    parse_noise(settled.noise)
    for field, option in (("leaves", "--drawn"), ("uneven", "--uneven")):
        if pairs and changes.get(field) is not None:
            raise UsageError(f"Pairs are taken as they are: leave {option} out.")
    if settled.layer_shares and start is not None:
        msg = f"{recipe} grows its net layer by layer, so it cannot --start from another's weights."
        raise UsageError(msg)
    before = _read_config(run) if resume else {}
    listed = before.get("ids") or _listed(ids)
    target = choose_device(device)
    prepare(target)
    with join_processes(str(target)) as processes:
        train_pack, held_out, targets = _read_data(data, pairs, listed)
        crops = _crop_source(settled, train_pack, targets[0], target)
        validation = Validation(
            held_out,
            specs=settled.validation_noise,
            channels=settled.channels,
            gray=settled.gray,
            device=target,
            targets=targets[1],
        )
        saved = checkpoint.load(run / "checkpoint.pt", target) if resume else None
        state = _first_state(settled, start, target, saved)
        watch = Watch(run, quiet=quiet, active=processes.first)
        if processes.first:
            config = {
                "name": before.get("name", recipe),
                "recipe": dataclasses.asdict(settled),
                "data": [path.name for path in data],
                "pairs": [path.name for path in pairs or ()],
                "ids": listed,
                "start": before.get("start", start and Path(start).name),
                "pictures": len(train_pack.pictures),
                "torch": torch.__version__,
            }
            write_config(config, run)
            forget_after(run, "step", state.step)
            watch.open_tensorboard()
        loop = fit_layers if settled.layer_shares else fit
        try:
            return loop(settled, state, crops, validation, watch, processes)
        finally:
            watch.close()


def _settle(name: str, run: Path, resume: bool, changes: Mapping[str, Any]) -> Recipe:
    given = {key: value for key, value in changes.items() if value is not None}
    if resume:
        return _resumed(run, given)
    if (run / "checkpoint.pt").exists():
        msg = f"{run} already holds a run; give --resume to go on, or another folder."
        raise UsageError(msg)
    given = {key: value for key, value in given.items() if key not in ("start", "ids")}
    for option in ("batch", "crop", "lr"):
        if not 0 < given.get(option, 1) < math.inf:
            msg = f"--{option} {given[option]} makes no sense; give a positive number."
            raise UsageError(msg)
    recipe = recipes.find_recipe(name)
    recipe = recipes.with_budget(recipe, given.pop("steps", None), given.pop("minutes", None))
    if "lr" in given:
        # Fine-tuning takes small steps everywhere: those of the ends go with the others.
        given.setdefault("lr_ends", recipe.lr_ends * given["lr"] / recipe.lr)
    if "noise" in given:
        # What is said about the run and its model is then about this noise too.
        given["validation_noise"] = (given["noise"],)
    recipe = dataclasses.replace(recipe, **given)
    _require_loss(recipe)
    _require_teachers(recipe, shared="told_share" in given)
    if not 0 <= recipe.leaves <= 1:
        raise UsageError(f"The share of drawn pictures must be 0 to 1, not {recipe.leaves:g}.")
    _require_even(recipe)
    return recipe


def _require_even(recipe: Recipe) -> None:
    if not 0 <= recipe.uneven <= 1:
        raise UsageError(f"The share of uneven noise must be 0 to 1, not {recipe.uneven:g}.")
    if recipe.uneven and not isinstance(parse_noise(recipe.noise), Gaussian):
        msg = f"--uneven is for gaussian noise; {recipe.noise} is as uneven as it is."
        raise UsageError(msg)


def _require_loss(recipe: Recipe) -> None:
    if recipe.loss not in LOSSES:
        msg = f"Unknown loss {recipe.loss!r}; use {', '.join(sorted(LOSSES))}."
        raise UsageError(msg)
    if recipe.is_taught and recipe.loss not in OF_ERROR:
        msg = f"With a teacher the loss must be one of {', '.join(OF_ERROR)}, not {recipe.loss}."
        raise UsageError(msg)


def _require_teachers(recipe: Recipe, *, shared: bool) -> None:
    if shared and not recipe.told_teacher:
        raise UsageError("--told-share is for a told teacher; name it with --told-teacher.")
    if not 0 <= recipe.told_share <= 1:
        raise UsageError(f"--told-share must be 0 to 1, not {recipe.told_share:g}.")
    if recipe.is_taught and recipe.net == "jain-seung-2008":
        msg = "The networks of Jain & Seung see what lies around a crop; they have no teachers."
        raise UsageError(msg)


def _resumed(run: Path, given: Mapping[str, Any]) -> Recipe:
    """A resumed run keeps its recipe; only its budget may change."""
    extra = sorted(set(given) - {"steps", "minutes"})
    if extra:
        msg = f"--resume keeps the run's own {', '.join(extra)}; leave that option out."
        raise UsageError(msg)
    recipe = recipes.from_json(_read_config(run)["recipe"])
    return recipes.with_budget(recipe, given.get("steps"), given.get("minutes"))


def _read_config(run: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((run / "config.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        msg = f"{run} holds no run to resume ({error}); start it without --resume."
        raise TrainingError(msg) from error
    return config


def _listed(ids: str | None) -> dict[str, Any] | None:
    """Name and pictures of a list, for config.json."""
    if ids is None:
        return None
    return {"name": Path(ids).stem, "pictures": list(lists.read_list(ids))}


def _read_data(
    data: Sequence[Path], pairs: tuple[Path, Path] | None, listed: Mapping[str, Any] | None
) -> tuple[Pack, Pack, tuple[Pack | None, Pack | None]]:
    """Training and validation pictures; for pairs their clean partners too."""

    def divide(packed: Pack) -> tuple[Pack, Pack]:
        return lists.select(packed, listed["pictures"]) if listed else split(packed)

    if bool(data) == bool(pairs):
        msg = "Give either --data with clean pictures or --pairs with noisy and clean ones."
        raise UsageError(msg)
    if pairs:
        (noisy, held_out), (clean, held_out_clean) = map(divide, read_pairs(*pairs))
        _require_enough(noisy)
        return noisy, held_out, (clean, held_out_clean)
    train_pack, held_out = divide(load(data))
    _require_enough(train_pack)
    return train_pack, held_out, (None, None)


def _require_enough(packed: Pack) -> None:
    if len(packed.pictures) < FEWEST_PICTURES:
        msg = f"Only {len(packed.pictures)} training pictures; add some more (hundreds are good)."
        raise TrainingError(msg)


def _crop_source(
    recipe: Recipe, packed: Pack, targets: Pack | None, device: torch.device
) -> CropSource:
    photographed = targets is None and takes_photographs(recipe, parse_noise(recipe.noise))
    source = CropSource(
        packed,
        channels=recipe.channels,
        crop=2 * recipe.crop if photographed else recipe.crop,
        gray=recipe.gray,
        device=device,
        targets=targets,
        distinct=recipe.distinct,
    )
    if recipe.distinct and len(source.sizes) < recipe.batch:
        msg = (
            f"Each step takes {recipe.batch} different pictures, but only {len(source.sizes)} are "
            "large enough; add some, or give a smaller --batch."
        )
        raise TrainingError(msg)
    return source


def _first_state(
    recipe: Recipe, start: str | None, device: torch.device, saved: dict[str, Any] | None
) -> State:
    """Fresh, from another model's weights, or as the checkpoint `saved` says."""
    if recipe.layer_shares:
        recipe = stage(recipe, saved["recipe"]["options"]["hidden"] if saved else 1)
    net = build_net(recipe)
    if start is not None:
        from degrain.train.start import load_weights

        load_weights(net, start)
    net.to(device)
    state = new_state(recipe, net)
    if saved:
        state.restore(saved)
    return state
