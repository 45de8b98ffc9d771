"""Layer-wise training: a net of one hidden layer, then of two, and so on.

Jain & Seung 2008, Sec. 3: a net with one hidden layer is trained; its layer is copied into a net
with two, whose output weights start anew; and so on up to N hidden layers. All nets minimize the
same cost, so every one of them is a denoiser, and `metrics.jsonl` shows what each layer adds. The
checkpoint says how deep its net is; a run goes on inside a net as between two.
"""

from __future__ import annotations

import dataclasses
from typing import cast

from degrain.nets.jain_seung_2008 import ConvolutionalNetwork
from degrain.train.data import CropSource
from degrain.train.devices import Processes
from degrain.train.fit import ENDS, build_net, fit, new_state
from degrain.train.recipes import Recipe
from degrain.train.state import State
from degrain.train.watch import Validation, Watch


def fit_layers(
    recipe: Recipe,
    state: State,
    crops: CropSource,
    validation: Validation,
    watch: Watch,
    processes: Processes,
) -> State:
    """Train nets of ever more hidden layers, from the one in `state` to the recipe's last.

    Raises:
        TrainingError: as `fit.fit`.
    """
    while True:
        hidden = hidden_layers(state)
        watch.facts = {"hidden": hidden}
        fit(stage(recipe, hidden), state, crops, validation, watch, processes)
        if hidden == len(recipe.layer_shares):
            return state
        state = deepen(stage(recipe, hidden + 1), state)


def hidden_layers(state: State) -> int:
    """How many hidden layers the net of a state has."""
    return len(cast(ConvolutionalNetwork, state.net).layers) - 1


def stage(recipe: Recipe, hidden: int) -> Recipe:
    """The recipe for the net of `hidden` layers, with its share of the budget."""
    done, share = (sum(recipe.layer_shares[:k]) for k in (hidden - 1, hidden))
    total = sum(recipe.layer_shares)
    options = {**recipe.options, "hidden": hidden}
    if recipe.steps is not None:
        steps = round(recipe.steps * share / total) - round(recipe.steps * done / total)
        return dataclasses.replace(recipe, options=options, steps=max(1, steps))
    assert recipe.minutes is not None
    minutes = recipe.minutes * (share - done) / total
    return dataclasses.replace(recipe, options=options, minutes=minutes)


def deepen(recipe: Recipe, before: State) -> State:
    """A state around the recipe's deeper net that has the hidden layers of `before`.

    The new hidden layer and the output weights are fresh, and so are the optimizers; steps,
    pixels and seconds go on counting.
    """
    net = build_net(recipe)
    layers = {
        name: tensor
        for name, tensor in before.average.state_dict().items()
        if name.split(".")[0] != ENDS[1]
    }
    net.load_state_dict({**net.state_dict(), **layers})
    state = new_state(recipe, net.to(next(before.net.parameters()).device))
    state.step = state.first_step = before.step
    state.seconds = state.first_seconds = before.seconds
    state.pixels = before.pixels
    return state
