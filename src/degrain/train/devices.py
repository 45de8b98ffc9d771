"""Where training runs: CPU or GPU, one process or several under `torchrun`."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from degrain.errors import UsageError


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among its siblings (`torchrun` sets RANK and WORLD_SIZE)."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def wrap(self, net: nn.Module) -> nn.Module:
        """The network with gradients averaged over all processes."""
        if self.count == 1:
            return net
        return cast(nn.Module, nn.parallel.DistributedDataParallel(net))

    def agree(self, seconds: float) -> float:
        """The first process' clock for all, so that they stop at the same step."""
        if self.count == 1:
            return seconds
        clock = torch.tensor(seconds, dtype=torch.float64)
        if torch.distributed.get_backend() == "nccl":
            clock = clock.cuda()
        torch.distributed.broadcast(clock, 0)
        return float(clock)


@contextlib.contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the other processes where `torchrun` started several."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Processes(torch.distributed.get_rank(), count)
    finally:
        torch.distributed.destroy_process_group()


def choose_device(name: str) -> torch.device:
    """`auto` takes a GPU where there is one; anything else is PyTorch's own name.

    Raises:
        UsageError: the device does not exist here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        msg = f"The device {name!r} cannot be used ({str(error).splitlines()[0]}); try cpu."
        raise UsageError(msg) from error
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    return device


def prepare(device: torch.device) -> None:
    """Settings that make training fast on this device and do not change what it computes."""
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    elif sys.platform == "linux":
        keep_freed_memory()


def keep_freed_memory() -> None:
    """Let glibc keep freed buffers instead of handing every large one back to the kernel.

    A training step frees and takes the same few hundred megabytes again and again; without
    this, page faults took a quarter of the time on two cores.
    """
    m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


def compile_for(net: nn.Module, device: torch.device) -> None:
    """Fuse a net's small steps on a GPU, in place; a CPU gains too little to wait a minute for it.

    Where the compiler does not work, PyTorch says so and the net runs as it is.
    """
    if device.type == "cuda" and has_triton():
        torch._dynamo.config.suppress_errors = True
        net.compile(dynamic=False)


def has_triton() -> bool:
    """Whether PyTorch can compile for a GPU here: its builds for Windows come without Triton."""
    return importlib.util.find_spec("triton") is not None


@contextlib.contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Full float32 on a GPU, and no search for the fastest kernel, for the making of noise.

    What `prepare` allows the network would show in the noise; and sizes that change with every
    step would be searched for with every step.
    """
    if device.type != "cuda":
        yield
        return
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32, convolutions.benchmark
    products.allow_tf32 = convolutions.allow_tf32 = convolutions.benchmark = False
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32, convolutions.benchmark = before


def autocast(device: torch.device, *, fast: bool) -> contextlib.AbstractContextManager[object]:
    """bfloat16 on a GPU that has it, and with `fast` on a CPU that has it; float32 elsewhere."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    if device.type == "cpu" and fast and cpu_has_bfloat16():
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def cpu_has_bfloat16() -> bool:
    """Whether products in bfloat16 are faster here; where they are emulated they are slower."""
    ask = getattr(torch.cpu, "get_capabilities", None)
    if ask is None:  # an older PyTorch
        return False
    return any(ask().get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
