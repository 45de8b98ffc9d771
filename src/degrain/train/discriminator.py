"""The discriminator of Divakar & Babu 2017: is this crop a clean picture or a denoised one?

Frozen VGG19 features and a trained head of 2048, 1024 and 2 units (Sec. 2.2 of the paper); or,
where VGG19's weights are not at hand, a small network trained from scratch, which is another thing.
Also the paper's reading of it as a patch prior (Sec. 2.3).
"""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from degrain.errors import PictureError
from degrain.train.vgg import STRIDE, Vgg19

DENOISED: Final = 0
CLEAN: Final = 1
Kind = Literal["vgg", "scratch"]

SCRATCH_WIDTHS = (32, 64, 128, 256, 512)
"""Maps of the stride-2 layers that stand in for VGG19."""


class Discriminator(nn.Module):
    """Two logits for a crop: denoised, clean.

    Args:
        backbone: gives N×512×S/32×S/32 features of a crop.
        crop: side of the crops in pixels, a multiple of 32; with 64 the head's first layer reads
            2·2·512 = 2048 numbers.

    Raises:
        ValueError: the crop is not a multiple of 32.
    """

    def __init__(self, backbone: nn.Module, crop: int = 64) -> None:
        super().__init__()
        if crop < STRIDE or crop % STRIDE:
            msg = f"The discriminator needs crops whose side is a multiple of {STRIDE}, not {crop}."
            raise ValueError(msg)
        self.crop = crop
        self.backbone = backbone
        cells = (crop // STRIDE) ** 2
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(512 * cells, 2048),
            nn.ReLU(),
            nn.Linear(2048, 1024),
            nn.ReLU(),
            nn.Linear(1024, 2),
        )

    @property
    def frozen(self) -> bool:
        """Whether only the head is trained."""
        return isinstance(self.backbone, Vgg19)

    def forward(self, x_nchw: Tensor) -> Tensor:
        """Logits N×2 of crops N×1×S×S or N×3×S×S in 0..1."""
        logits: Tensor = self.head(self.backbone(x_nchw))
        return logits

    def learned(self) -> dict[str, Tensor]:
        """What a checkpoint must hold: everything but frozen weights of others."""
        state = self.state_dict()
        return {k: v for k, v in state.items() if not (self.frozen and k.startswith("backbone."))}

    def restore(self, learned: dict[str, Tensor]) -> None:
        """Take back what `learned` gave."""
        self.load_state_dict({**self.state_dict(), **learned})


def scratch_backbone(channels: int) -> nn.Module:
    """Five 3×3 convolutions of stride 2, trained with the head."""
    layers: list[nn.Module] = []
    inputs = channels
    for width in SCRATCH_WIDTHS:
        layers += [nn.Conv2d(inputs, width, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
        inputs = width
    return nn.Sequential(*layers)


def adversarial_loss(logits_n2: Tensor) -> Tensor:
    """-log D(clean | crop), averaged: what the denoiser pays for being recognized (Eq. 6)."""
    target = logits_n2.new_full((len(logits_n2),), CLEAN, dtype=torch.long)
    return functional.cross_entropy(logits_n2.float(), target)


def discrimination_loss(denoised_n2: Tensor, clean_n2: Tensor) -> tuple[Tensor, float]:
    """Cross-entropy of the discriminator on both kinds, and the share it gets right."""
    logits = torch.cat([denoised_n2, clean_n2]).float()
    target = torch.full((len(logits),), CLEAN, device=logits.device)
    target[: len(denoised_n2)] = DENOISED
    right = (logits.detach().argmax(1) == target).float().mean()
    return functional.cross_entropy(logits, target), float(right)


@torch.no_grad()
def negative_log_prior(
    discriminator: Discriminator, x_nchw: Tensor, *, step: int | None = None
) -> Tensor:
    """How unlike a clean picture each picture is, as the discriminator sees its patches.

    Patch priors take log p(x) = sum over patches of log p(P_i x) (Zoran & Weiss, ICCV 2011;
    Divakar & Babu 2017, Eq. 8). With D(clean | P_i x) in the place of p(P_i x), the adversarial
    loss becomes the negative log prior of a maximum a posteriori estimate (Eq. 9).

    Args:
        discriminator: trained against one denoiser; its prior is relative to that one.
        x_nchw: pictures in 0..1, at least as large as a crop.
        step: pixels between patches; default: the side of a crop, so that they do not overlap.

    Returns:
        -log D(clean | P_i x), averaged over patches: one number a picture (nats per patch).

    Raises:
        PictureError: the pictures are smaller than a crop.
    """
    side = discriminator.crop
    if min(x_nchw.shape[-2:]) < side:
        msg = f"The patch prior needs pictures of at least {side}×{side} pixels; give larger ones."
        raise PictureError(msg)
    step = step or side
    patches = x_nchw.unfold(2, side, step).unfold(3, side, step)  # N×C×rows×columns×side×side
    count = patches.shape[2] * patches.shape[3]
    batch = patches.movedim(1, 3).flatten(0, 2)
    logits = torch.cat([discriminator(part) for part in batch.split(64)]).float()
    surprise = -functional.log_softmax(logits, 1)[:, CLEAN]
    return surprise.view(-1, count).mean(1)
