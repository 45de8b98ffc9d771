"""ONNX Runtime on the CPU, the engine that every installation has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain.errors import ModelError

_FATAL = 4
"""Log severity: ONNX Runtime stays silent, problems come as exceptions."""


class OnnxEngine:
    """Runs a denoiser stored as an ONNX file.

    The file takes one picture batch (float32, N×C×H×W with C 1 or 3, H and W free) and gives
    one of the same shape. A second input named `sigma` (noise standard deviation, 0..1) is
    allowed. The session may be used from several threads at once.

    Args:
        path: the ONNX file.
        threads: how many threads one run may use; None, or more than that: as many as this
            process may use.
        fused: False runs every node as it is written. Of a network in 8 bits that is the exact
            answer, slowly, on any processor; fused, sums of bytes may overflow on some.

    Raises:
        ModelError: the file is missing, damaged or no denoiser.
    """

    def __init__(self, path: Path, *, threads: int | None = None, fused: bool = True) -> None:
        self._path = path
        self._session = open_session(path, path, usable_threads(threads), fused=fused)
        self._channels, self._sigma_rank = _check(self._session, path)
        self._input = str(self._session.get_inputs()[0].name)
        self._output = str(self._session.get_outputs()[0].name)

    @property
    def channels(self) -> int:
        """Channels the network takes and gives: 1 (gray) or 3 (RGB)."""
        return self._channels

    @property
    def needs_sigma(self) -> bool:
        """True for a network that has to be told the noise level."""
        return self._sigma_rank is not None

    @property
    def metadata(self) -> dict[str, str]:
        """The custom properties stored in the ONNX file."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, x_nchw: NDArray[np.float32], sigma: float | None = None) -> NDArray[np.float32]:
        """Denoise a batch: float32 N×C×H×W in, the same out, not clipped.

        Args:
            x_nchw: the noisy pictures, 0..1 from black to white.
            sigma: noise standard deviation on the same scale; needed by some networks, ignored
                by blind ones.

        Raises:
            ModelError: the network needs sigma and got none, or fails on this input.
        """
        inputs: dict[str, NDArray[np.float32]] = {self._input: x_nchw}
        if self._sigma_rank is not None:
            inputs["sigma"] = self._sigma(sigma, len(x_nchw))
        try:
            (clean,) = self._session.run([self._output], inputs)
        except Exception as error:  # ONNX Runtime's errors share no narrower base
            msg = (
                f"The model {self._path} fails on an input of shape {x_nchw.shape}: {_why(error)}."
            )
            raise ModelError(msg) from error
        if clean.shape != x_nchw.shape:
            msg = (
                f"The model {self._path} gives shape {clean.shape} for {x_nchw.shape}, so it is no "
                "denoiser; give a model whose output has the size of its input."
            )
            raise ModelError(msg)
        return np.asarray(clean, dtype=np.float32)

    def _sigma(self, sigma: float | None, batch: int) -> NDArray[np.float32]:
        """The noise level in the shape this network wants it: (), (1,), (N, 1) ..."""
        if sigma is None:
            msg = f"The model {self._path} must be told the noise level; use a blind model instead."
            raise ModelError(msg)
        rank = self._sigma_rank or 0
        shape = (1,) * rank if rank < 2 else (batch,) + (1,) * (rank - 1)
        return np.full(shape, sigma, dtype=np.float32)


def available_threads() -> int:
    """Cores this process may run on (fewer than the machine's in most containers)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_threads(threads: int | None) -> int:
    """As many threads as wanted (None: as there are cores), but no more than there are cores.

    ONNX Runtime's threads wait for one another busily: more than cores are very slow.
    """
    most = available_threads()
    return min(threads or most, most)


def open_session(model: Path | bytes, path: Path, threads: int, *, fused: bool = True) -> Any:
    """A session on the CPU provider, without telemetry and without log lines.

    Args:
        model: the ONNX file or its contents.
        path: where it comes from, for messages.
        threads: how many threads one run may use.
        fused: let ONNX Runtime rewrite the network for speed.

    Raises:
        ModelError: the file is missing or damaged.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    # Said explicitly because ONNX Runtime pins its threads to cores when it chooses the number
    # itself, which fails noisily in containers.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if not fused:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Tiles come in several sizes. Planning memory for each (the "pattern") is no faster and
    # takes a third more of it; without the arena pages are returned and fetched all the time.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = True
    try:
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            sess_options=options,
            providers=["CPUExecutionProvider"],
        )
    except Exception as error:  # ONNX Runtime's errors share no narrower base
        if not path.is_file():
            msg = f"There is no model file {path}; give the path of an ONNX file or a model's name."
        else:
            msg = f"{path} is no readable ONNX model ({_why(error)}); fetch or export it again."
        raise ModelError(msg) from error


def _check(session: Any, path: Path) -> tuple[int, int | None]:
    """Channels and the rank of the sigma input (None: blind), or a ModelError."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    problem = _problem(inputs, outputs)
    if problem:
        msg = f"{path} is no denoiser: {problem}; give a model that maps N×C×H×W to the same shape."
        raise ModelError(msg)
    return int(inputs[0].shape[1]), len(inputs[1].shape) if len(inputs) == 2 else None


def _problem(inputs: Any, outputs: Any) -> str:
    """Why these inputs and outputs are not a denoiser's; empty if they are."""
    if not inputs or len(inputs) > 2 or (len(inputs) == 2 and inputs[1].name != "sigma"):
        return f"its inputs are {', '.join(i.name for i in inputs) or 'none'}"
    if len(outputs) != 1:
        return f"it has {len(outputs)} outputs"
    if any(end.type != "tensor(float)" for end in (*inputs, *outputs)):
        return "it does not work on 32-bit floats"
    noisy, clean = inputs[0].shape, outputs[0].shape
    if len(noisy) != 4 or len(clean) != 4:
        return f"its input has {len(noisy)} axes and its output {len(clean)}"
    if noisy[1] not in (1, 3) or (isinstance(clean[1], int) and clean[1] != noisy[1]):
        return f"it takes {noisy[1]} and gives {clean[1]} channels"
    if any(isinstance(side, int) for side in noisy[2:]):
        return f"it takes pictures of {noisy[2]}×{noisy[3]} pixels only"
    return ""


def _why(error: Exception) -> str:
    """ONNX Runtime's reason without its codes, file names and line breaks."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rsplit(" : ", 1)[-1].rsplit("failed:", 1)[-1].strip().rstrip(".")
