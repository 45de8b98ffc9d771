"""ONNX files: writing a network as one, and reading its weights back.

The file is the weights. Its initializers carry the state-dict names, so that further training
starts from the file alone.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from degrain import onnx_weights
from degrain.errors import ModelError, TrainingError
from degrain.train.whole import whole_file

EXAMPLE_SIDE = 64
OPSET = 18
"""Of ONNX. From 19 on average pooling may skip pixels, and ONNX Runtime's code for that takes a
hundred times as long."""


def write_onnx(net: nn.Module, output: Path, channels: int, *, half: bool = False) -> None:
    """Write `net` with free N, H and W, input `noisy` and output `clean`.

    The file is complete before it takes its name. With `half` its weights are rounded to half
    precision (11 bits) and stored so; it computes in floats all the same.
    """
    net = form_for_export(rounded(net) if half else net).eval()
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
                opset_version=OPSET,
                optimize=not getattr(net, "computes_kernels", False),
            )
            assert program is not None
            if getattr(net, "computes_kernels", False):
                _optimize_around(set(net.state_dict()), program.model)
        program.save(str(partial))
        _drop_traces(partial)
        if half:
            onnx_weights.halve(partial, set(net.state_dict()))
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


def rounded(net: nn.Module) -> nn.Module:
    """A copy of the net with its weights rounded to half precision."""
    return copy.deepcopy(net).half().float()


def form_for_export(net: nn.Module) -> nn.Module:
    """The net, or its twin that computes the same and runs faster."""
    twin: nn.Module = getattr(net, "for_export", lambda: net)()
    return twin


def read_weights(path: Path) -> dict[str, Tensor]:
    """The learned tensors of an ONNX file by their state-dict names."""
    from onnx import numpy_helper

    try:
        graph = onnx_weights.load(path).graph
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
