"""Watching a run: validation, metrics.jsonl, TensorBoard and the live line."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from degrain.depth import unit_floats
from degrain.noise import parse_noise
from degrain.train.data import Pack, to_channels
from degrain.train.state import State


class Validation:
    """Held-out training pictures with fixed noise; PSNR per noise spec.

    Args:
        packed: the held-out pictures; at most `most` are used, their central parts.
        targets: clean partners where `packed` holds real noisy pictures.
        specs: noise specs; ignored with `targets`.
        channels, gray: as in the recipe.
        device: where the network runs.
    """

    def __init__(
        self,
        packed: Pack,
        *,
        specs: tuple[str, ...],
        channels: int,
        gray: str,
        device: torch.device,
        targets: Pack | None = None,
        most: int = 24,
        side: int = 256,
    ) -> None:
        self.device = device
        stride = max(1, len(packed.pictures) // most)
        chosen = range(0, len(packed.pictures), stride)[:most]
        first = [_centre(packed.pictures[i], side, channels, gray) for i in chosen]
        self.sets: dict[str, list[tuple[Tensor, Tensor]]] = {}
        if targets is not None:
            second = [_centre(targets.pictures[i], side, channels, gray) for i in chosen]
            self.sets["pairs"] = list(zip(map(_nchw, first), map(_nchw, second), strict=True))
            return
        for spec in specs:
            noise = parse_noise(spec)
            noisy = [noise.add(c, np.random.default_rng(k)) for k, c in enumerate(first)]
            self.sets[spec] = list(zip(map(_nchw, noisy), map(_nchw, first), strict=True))

    @torch.no_grad()
    def psnr(self, net: nn.Module) -> dict[str, float]:
        """Mean PSNR in dB per noise spec, float pictures, peak 1."""
        net.eval()
        result = {}
        for spec, pairs in self.sets.items():
            errors = [
                (net(noisy.to(self.device)) - clean.to(self.device)).square().mean()
                for noisy, clean in pairs
            ]
            if errors:
                result[spec] = float(-10 * torch.stack(errors).log10().mean())
        net.train()
        return result


@dataclass(slots=True)
class Watch:
    """Tells people and files how a run goes; silent in all processes but the first.

    Attributes:
        run: the run folder.
        quiet: no live line.
        active: False in the further processes of a distributed run.
        facts: what every row of metrics.jsonl says besides, such as the number of hidden layers.
    """

    run: Path
    quiet: bool = False
    active: bool = True
    started: float = field(default_factory=time.perf_counter)
    started_share: float = -1.0
    last_share: float = -1.0
    latest: dict[str, float] = field(default_factory=dict)
    facts: dict[str, int] = field(default_factory=dict)
    tensorboard: Any = None

    def open_tensorboard(self) -> None:
        """Log to TensorBoard as well, where it is installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self.tensorboard = SummaryWriter(str(self.run / "tensorboard"))

    def step(self, state: State, loss: float, share: float) -> None:
        """Refresh the live line."""
        if self.quiet or not self.active:
            return
        # The share falls where a net is grown by a layer, which gets a budget of its own.
        begins, self.last_share = share <= self.last_share or self.last_share < 0, share
        if begins:
            self.started, self.started_share = time.perf_counter(), share
            return
        elapsed = time.perf_counter() - self.started
        left = elapsed * (1 - share) / max(share - self.started_share, 1e-9)
        psnr = ", ".join(f"{spec} {value:.2f}" for spec, value in self.latest.items())
        facts = "".join(f"{name} {value}  " for name, value in self.facts.items())
        line = (
            f"{facts}step {state.step}  {state.pixels / 1e6:.0f} Mpx  loss {loss:.5f}  "
            f"PSNR {psnr or '-'}  {100 * share:.0f} %, {_clock(left)} left"
        )
        end = "\r" if sys.stderr.isatty() else "\n"
        if end == "\r" or state.step % 1000 == 0:
            print(f"\033[K{line}" if end == "\r" else line, end=end, file=sys.stderr, flush=True)

    def validated(self, state: State, loss: float, psnr: dict[str, float]) -> None:
        """Write one row of metrics.jsonl."""
        if not self.active:
            return
        self.latest = psnr
        row = {
            **self.facts,
            "step": state.step,
            "pixels": state.pixels,
            "seconds": round(state.seconds, 1),
            "loss": loss,
            "psnr": {spec: round(value, 4) for spec, value in psnr.items()},
        }
        with (self.run / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self.tensorboard is not None:
            self.tensorboard.add_scalar("loss", loss, state.step)
            for spec, value in psnr.items():
                self.tensorboard.add_scalar(f"psnr/{spec}", value, state.step)

    def close(self) -> None:
        """End the live line and flush TensorBoard."""
        if self.tensorboard is not None:
            self.tensorboard.close()
        if self.active and not self.quiet and sys.stderr.isatty():
            print(file=sys.stderr)


def _centre(picture: Any, side: int, channels: int, gray: str) -> Any:
    height, width = picture.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    part = picture[top : top + side, left : left + side]
    return unit_floats(to_channels(part, channels, gray))


def _nchw(picture: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture)).movedim(-1, 0)[None]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
