"""Batches made in threads, ahead of the network that trains on them.

On a GPU a camera's noise is hundreds of small kernels, and so are drawn shapes, and the host waits
for some of them: one batch took longer than the network. Every batch follows from its step's number
alone, so it does not matter who makes it, nor when.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch
from torch import Tensor

from degrain.noise import Camera, Noise

Batch = tuple[Tensor, Tensor]

ON_GPU = 4
"""Threads for a camera's noise, and for drawn shapes."""


def threads_for(noise: Noise, leaves: float, device: torch.device) -> int:
    """How many threads are worth it: none for noise that is made in no time, nor on a CPU.

    There the network and its noise share the cores already: a step of `degrain-photo` took 0.72 s
    with a thread and 0.62 s without on two cores.
    """
    slow = isinstance(noise, Camera) or leaves > 0
    return ON_GPU if slow and device.type == "cuda" else 0


class Ahead:
    """The batches of consecutive steps, each of which a thread has begun before it is asked for.

    Args:
        draw: makes the batch of a step; called in several threads at once.
        first: the first step.
        threads: how many make batches, and how many batches are begun ahead; 0: each is made when
            it is asked for.
        device: where the batches are made.
    """

    def __init__(
        self, draw: Callable[[int], Batch], first: int, threads: int, device: torch.device
    ) -> None:
        self._draw = draw
        self._device = device
        self._next = first
        self._threads = ThreadPoolExecutor(max(1, threads), thread_name_prefix="batch")
        self._begun: deque[Future[Batch]] = deque()
        for _ in range(threads):
            self._begin()

    def take(self) -> Batch:
        """The next step's batch; whatever its thread raised is raised here."""
        if not self._begun:
            self._next += 1
            return self._draw(self._next - 1)
        batch = self._begun.popleft().result()
        self._begin()
        if self._device.type == "cuda":
            for tensor in batch:  # memory is taken anew only when this thread is done with it too
                tensor.record_stream(torch.cuda.current_stream())
        return batch

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def _begin(self) -> None:
        self._begun.append(self._threads.submit(self._make, self._next))
        self._next += 1

    def _make(self, step: int) -> Batch:
        with self._stream() as stream:
            batch = self._draw(step)
            if stream is not None:
                stream.synchronize()
        return batch

    @contextlib.contextmanager
    def _stream(self) -> Iterator[torch.cuda.Stream | None]:
        """A GPU's queue of this thread's own: in one queue all would wait for all."""
        if self._device.type != "cuda":
            yield None
            return
        stream = torch.cuda.Stream(self._device)
        with torch.cuda.stream(stream):
            yield stream
