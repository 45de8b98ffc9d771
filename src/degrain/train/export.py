"""Export: from a run folder to an ONNX file with its card; and back from ONNX into torch.

The ONNX file is the weights. Its initializers carry the state-dict names, so that further
training starts from the file alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from degrain.errors import ModelError, TrainingError, UsageError
from degrain.train import checkpoint
from degrain.train.fit import build_net
from degrain.train.recipes import RECIPES, Recipe, from_json
from degrain.train.whole import whole_file
from degrain.zoo.card import ModelCard, write_card

EXAMPLE_SIDE = 64
UNMEASURED_BYTES_PER_PIXEL = 2048


def export_run(run: Path, output: Path, *others: Path, name: str | None = None) -> ModelCard:
    """Write the averaged weights of a run as `output` and its card as `<output stem>.toml`.

    Halo, stride and memory need are measured on the written file.

    Args:
        run: folder of a run that has a checkpoint.
        output: the ONNX file to write.
        others: further runs that began with the weights of `run`, or it with theirs; the mean of
            all their weights is written (Izmailov et al., "Averaging weights leads to wider
            optima", UAI 2018). The card's quality is then left to be measured.
        name: the model's name; the recipe's by default.

    Raises:
        TrainingError: the run has no checkpoint, or the file cannot be written.
        UsageError: the runs cannot be averaged.
    """
    saved = checkpoint.load(run / "checkpoint.pt")
    config = _read_config(run)
    if "phases" in config:
        from degrain.train.export_phases import export_phases

        if others:
            msg = f"{run} is a run in three phases, which cannot be averaged; export it alone."
            raise UsageError(msg)
        return export_phases(run, output, name=name)
    # The checkpoint's recipe: a run that grows its net may not have come to the end.
    recipe = from_json(saved["recipe"])
    net = build_net(recipe)
    net.load_state_dict(saved["average"])
    _average_with(net, others)
    write_onnx(net, output, recipe.channels)
    card = describe(net, output, recipe.channels)
    card = replace(
        card,
        name=name or config.get("name") or run.name,
        summary=card.summary if config["pairs"] else _summary(recipe),
        gray=recipe.gray if recipe.channels == 1 else card.gray,
        noise=recipe.noise if not config["pairs"] else "the pairs it was trained on",
        training_data=_training_data(config),
        recipe="; averaged with ".join(_command(_read_config(path)) for path in (run, *others)),
        quality={} if others else _quality(run),
    )
    write_card(card, output.with_suffix(".toml"))
    return card


@torch.no_grad()
def _average_with(net: nn.Module, others: Sequence[Path]) -> None:
    """Make the weights of `net` the mean of its own and those of other runs."""
    for count, run in enumerate(others, start=2):
        weights = checkpoint.load(run / "checkpoint.pt").get("average", {})
        own = net.state_dict()
        if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in weights.items()}:
            msg = f"{run} trained another network; only runs of the same one can be averaged."
            raise UsageError(msg)
        for tensor, other in zip(own.values(), (weights[key] for key in own), strict=True):
            if tensor.is_floating_point():
                tensor.lerp_(other, 1 / count)


def _read_config(run: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((run / "config.json").read_text(encoding="utf-8"))
    return config


def write_onnx(net: nn.Module, output: Path, channels: int) -> None:
    """Write `net` with free N, H and W, input `noisy` and output `clean`.

    The file is complete before it takes its name.
    """
    net = _form_for_export(net).eval()
    # An odd size, so that the export sees the padding at work.
    example = torch.rand(2, channels, EXAMPLE_SIDE + 3, EXAMPLE_SIDE + 7)
    with whole_file(output, "model") as partial:
        with _quiet():
            program = torch.onnx.export(
                net,
                (example,),
                dynamo=True,
                input_names=["noisy"],
                output_names=["clean"],
                dynamic_shapes=({0: "n", 2: "h", 3: "w"},),
                verbose=False,
                optimize=not getattr(net, "computes_kernels", False),
            )
            assert program is not None
            if getattr(net, "computes_kernels", False):
                _optimize_around(set(net.state_dict()), program.model)
        program.save(str(partial))
        _drop_traces(partial)
        _require_state_dict_names(net, partial)


def _optimize_around(weights: set[str], model: Any) -> None:
    """The exporter's own clean-up, except that what is computed from the weights stays computed.

    It would store the results instead of the weights; ONNX Runtime computes them once, on loading.
    """
    from onnxscript import optimizer

    def fold(node: Any) -> bool | None:
        of_weights = any(value is not None and value.name in weights for value in node.inputs)
        return False if of_weights else None

    optimizer.optimize_ir(model, should_fold=fold)


def _form_for_export(net: nn.Module) -> nn.Module:
    """The net, or its twin that computes the same and runs faster."""
    twin: nn.Module = getattr(net, "for_export", lambda: net)()
    return twin


def describe(net: nn.Module, path: Path, channels: int) -> ModelCard:
    """A card with everything that can be counted or measured on the exported file."""
    from degrain.engines.measure import measure
    from degrain.engines.onnx import OnnxEngine

    halo, multiple_of = measure(OnnxEngine(path))
    return ModelCard(
        name=path.stem,
        summary=f"Blind denoiser for {'gray' if channels == 1 else 'color'} pictures.",
        channels=channels,
        halo=halo,
        multiple_of=multiple_of,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        license="Apache-2.0",
        parameters=sum(param.numel() for param in net.parameters()),
        macs_per_pixel=count_macs(_form_for_export(net), channels),
        memory_bytes_per_pixel=measure_memory(path, channels),
        paper=_first_line(net),
        path=path,
    )


def count_macs(net: nn.Module, channels: int, side: int = 256) -> int:
    """Multiply-accumulates per picture pixel, counted on a `side`×`side` picture."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(torch.rand(1, channels, side, side))
    return round(counter.get_total_flops() / 2 / side**2)


def measure_memory(path: Path, channels: int) -> int:
    """Bytes of working memory per tile pixel: peaks of two fresh processes, subtracted.

    Only Linux tells a process its own peak; elsewhere a cautious figure is assumed.
    """
    if sys.platform != "linux":
        return UNMEASURED_BYTES_PER_PIXEL
    small, large = 512, 1024
    peaks = [_peak_bytes(path, channels, side) for side in (small, large)]
    return max(64, round((peaks[1] - peaks[0]) / (large**2 - small**2)))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The learned tensors of an ONNX file by their state-dict names."""
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:
        msg = f"{path} is no readable ONNX model ({error}); fetch or export it again."
        raise ModelError(msg) from error
    return {
        item.name: torch.from_numpy(numpy_helper.to_array(item).copy())
        for item in graph.initializer
    }


def _drop_traces(path: Path) -> None:
    """Take out where in the code each node came from; small nets would double by it."""
    import onnx

    model = onnx.load(str(path))
    del model.graph.value_info[:]
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    onnx.save(model, str(path))


def _require_state_dict_names(net: nn.Module, path: Path) -> None:
    """The exporter must not have renamed or folded a weight."""
    stored = read_weights(path)
    for name, tensor in net.state_dict().items():
        if name not in stored or not torch.equal(stored[name], tensor.cpu()):
            msg = f"The exported file lacks the weights {name} as they are; please report this."
            raise TrainingError(msg)


def _peak_bytes(path: Path, channels: int, side: int) -> int:
    """Peak memory of a process that runs the model once on a `side`×`side` picture."""
    # Not getrusage: its peak is inherited from the parent, which has torch in it.
    code = (
        "import re, sys, numpy\n"
        "from pathlib import Path\n"
        "from degrain.engines.onnx import OnnxEngine\n"
        "channels, side = int(sys.argv[2]), int(sys.argv[3])\n"
        "OnnxEngine(Path(sys.argv[1])).run(numpy.zeros((1, channels, side, side), 'float32'))\n"
        "print(re.search(r'VmHWM:\\s*(\\d+) kB', Path('/proc/self/status').read_text())[1])\n"
    )
    arguments = [sys.executable, "-c", code, str(path), str(channels), str(side)]
    result = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return int(result.stdout) * 1024


def _first_line(net: nn.Module) -> str:
    module = sys.modules[type(net).__module__]
    return (module.__doc__ or "").strip().splitlines()[0]


def _training_data(config: dict[str, Any]) -> str:
    names = ", ".join(config["data"] or config["pairs"])
    listed = f" (list {config['ids']['name']})" if config.get("ids") else ""
    return f"{config['pictures']} pictures from {names}{listed}"


def _summary(recipe: Recipe) -> str:
    kind = "gray" if recipe.channels == 1 else "color"
    if re.search(r"\d-", recipe.noise):
        return f"Blind denoiser for {kind} pictures."
    return f"Denoiser for {kind} pictures with noise {recipe.noise}."


def _command(config: dict[str, Any]) -> str:
    recipe, name = config["recipe"], config.get("name", "RECIPE")
    budget = f"--steps {recipe['steps']}" if recipe["steps"] else f"--minutes {recipe['minutes']:g}"
    data = f"--pairs {' '.join(config['pairs'])}" if config["pairs"] else "--data DIR"
    start = f" --start {config['start']}" if config.get("start") else ""
    ids = f" --ids {config['ids']['name']}" if config.get("ids") else ""
    usual = dataclasses.asdict(RECIPES[name]()) if name in RECIPES else {}
    options = ("noise", "loss", "lr", "batch", "crop", "seed") if usual else ("noise",)
    changed = changed_options(recipe, usual, options)
    return f"degrain train {name} {data}{ids}{changed} -o RUN {budget}{start}"


def changed_options(
    recipe: Mapping[str, Any], usual: Mapping[str, Any], options: Sequence[str]
) -> str:
    """Those of `options` that a run had instead of its recipe's, as words of the command."""
    return "".join(
        f" --{option.replace('_', '-')} {recipe[option]}"
        for option in options
        if recipe[option] != usual.get(option)
    )


def _quality(run: Path) -> dict[str, dict[str, float]]:
    """The last validation of the run, under its protocol."""
    path = run / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    if not lines:
        return {}
    psnr = json.loads(lines[-1])["psnr"]
    return {"held-out training pictures, 256×256, float noise, PSNR": psnr}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's chatter away from people; its errors still come as exceptions."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
