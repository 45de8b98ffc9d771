"""What training makes small: losses of an answer and the clean picture, with a teacher or without.

Most are functions of the mean squared error of each crop. That is what a teacher needs: for the
mean m of all clean pictures x that a noisy one may come from, the squared error of an answer s
has the mean ‖s − m‖² + ‖m − x‖². What is left out of ‖s − x‖², 2 (s − m)(m − x), averages to zero
and is most of what makes small batches noisy. A teacher stands in for m (compare Hinton, Vinyals &
Dean, "Distilling the knowledge in a neural network", 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from torch import Tensor
from torch.nn import functional


def squared_error(output_nchw: Tensor, clean_nchw: Tensor) -> Tensor:
    """Mean squared error of each crop, of shape N."""
    return (output_nchw - clean_nchw).square().mean((1, 2, 3))


def rms(error: Tensor) -> Tensor:
    """Root of the mean squared error of each crop, averaged over the crops.

    Squared error, which PSNR is made of, but no crop counts for much more than another: with
    plain MSE the noisiest crops would decide every step.
    """
    return (error + 1e-7).sqrt().mean()


def minus_psnr(error: Tensor, floor_255: float = 0.5) -> Tensor:
    """Negative PSNR of each crop (peak 1), in nepers instead of decibels, averaged.

    Every decibel counts alike, at low and at high noise; `rms` leans towards high noise. Below
    the floor, in gray levels of 255, errors count less and less, so that clean crops do not decide.
    """
    return (error + (floor_255 / 255) ** 2).log().mean() / 2


OF_ERROR: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "rms": rms,
    "psnr": minus_psnr,
    "soft-psnr": partial(minus_psnr, floor_255=2.0),
    "mse": Tensor.mean,
}
"""Losses that are functions of the mean squared error of each crop."""

OF_PIXELS: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "l1": functional.l1_loss,
    "charbonnier": lambda a, b: ((a - b).square() + 1e-6).sqrt().mean(),
    "patch-sum": lambda a, b: (a - b).square().sum((1, 2, 3)).mean(),
}
"""Losses that are not."""

LOSSES: Final = (*OF_ERROR, *OF_PIXELS)


def loss(
    name: str, output_nchw: Tensor, clean_nchw: Tensor, taught_nchw: Tensor | None = None
) -> Tensor:
    """The loss of this name, a scalar.

    Args:
        name: one of `LOSSES`; with a teacher one of `OF_ERROR`.
        output_nchw: answers of the net that learns.
        clean_nchw: clean pictures of the same shape.
        taught_nchw: answers of the teacher, or None.
    """
    if name in OF_PIXELS:
        return OF_PIXELS[name](output_nchw, clean_nchw)
    if taught_nchw is None:
        return OF_ERROR[name](squared_error(output_nchw, clean_nchw))
    apart = squared_error(output_nchw, taught_nchw)
    return OF_ERROR[name](apart + squared_error(taught_nchw, clean_nchw))
