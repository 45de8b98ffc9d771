"""VGG19's convolutional layers, frozen: Simonyan & Zisserman, ICLR 2015.

No weights are part of degrain. Known are torchvision's file (RGB input, mean and deviation of
ImageNet) and files of the same layout whose metadata say `BGR` (Caffe's and Keras' convention:
0..255, mean taken off, no division).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from degrain.errors import ModelError, TrainingError

ENVIRONMENT: Final = "DEGRAIN_VGG19"
TORCHVISION: Final = "torchvision"
URL: Final = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
"""torchvision's file; the last part of its name is the beginning of its SHA-256."""

BLOCKS: Final = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)
"""Maps of the 3×3 convolutions; every block ends with a maximum over 2×2."""
STRIDE: Final = 32

RGB = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation per channel that torchvision's weights expect, for pictures in 0..1."""
BGR_MEAN_255 = (103.939, 116.779, 123.68)


class Vgg19(nn.Module):
    """The sixteen convolutions and five poolings; never trained.

    Args:
        bgr: Caffe's convention for the input instead of torchvision's.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, *, bgr: bool = False) -> None:
        super().__init__()
        self.bgr = bgr
        layers: list[nn.Module] = []
        inputs = 3
        for block in BLOCKS:
            for outputs in block:
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        mean = [value / 255 for value in BGR_MEAN_255] if bgr else list(RGB[0])
        deviation = [1 / 255] * 3 if bgr else list(RGB[1])
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None], persistent=False)
        self.requires_grad_(False)

    def forward(self, x_nchw: Tensor) -> Tensor:
        """Features after the last pooling: N×512×H/32×W/32.

        Args:
            x_nchw: N×1×H×W or N×3×H×W (RGB) in 0..1; gray counts as three equal channels.
        """
        maps: Tensor = self.features(self.normalize(x_nchw))
        return maps

    def stages(self, x_nchw: Tensor) -> list[Tensor]:
        """The maps before each of the five poolings, finest first."""
        y, found = self.normalize(x_nchw), []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                found.append(y)
            y = layer(y)
        return found

    def normalize(self, x_nchw: Tensor) -> Tensor:
        """From 0..1 to what the weights were trained on."""
        rgb = x_nchw.expand(-1, 3, -1, -1)
        return ((rgb.flip(1) if self.bgr else rgb) - self.mean) / self.deviation


def load_vgg(source: str | Path | None) -> Vgg19:
    """VGG19 with trained weights.

    Args:
        source: a `.pth` or `.safetensors` file in torchvision's layout (`features.0.weight` ...);
            `torchvision` downloads torchvision's own file and checks it; None asks the
            environment variable DEGRAIN_VGG19 for one of these.

    Raises:
        TrainingError: there are no weights, or they cannot be downloaded.
        ModelError: the file is damaged or laid out otherwise.
    """
    source = source or os.environ.get(ENVIRONMENT)
    if not source:
        msg = (
            "The discriminator needs the weights of VGG19, which degrain does not bring along: "
            f"give --vgg FILE (torchvision's is at {URL}), --vgg torchvision to download it, or "
            "--discriminator scratch, which trains a small one instead."
        )
        raise TrainingError(msg)
    weights, about = _download() if str(source) == TORCHVISION else _read(Path(source))
    vgg = Vgg19(bgr="BGR" in about)
    vgg.load_state_dict(_checked(vgg, weights, str(source)))
    return vgg.eval()


def perceptual_distance(vgg: Vgg19, first_nchw: Tensor, second_nchw: Tensor) -> Tensor:
    """How different two batches look to VGG19: one number a picture, 0 for equal ones.

    Squared differences of unit-length feature vectors, averaged over pixels and summed over the
    five stages: the measure LPIPS starts from, before its learned weights (Zhang et al., "The
    unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018, Eq. 1).

    Args:
        vgg: the network.
        first_nchw: N×1×H×W or N×3×H×W, 0..1, at least 16×16 pixels.
        second_nchw: the same shape.
    """
    stages = zip(vgg.stages(first_nchw), vgg.stages(second_nchw), strict=True)
    differences = [
        (functional.normalize(a, dim=1) - functional.normalize(b, dim=1)).square().sum(1)
        for a, b in stages
    ]
    return torch.stack([difference.mean((1, 2)) for difference in differences]).sum(0)


def _download() -> tuple[Mapping[str, Tensor], str]:
    """The weights of torchvision through PyTorch's cache; the hash in the file name is checked."""
    try:
        weights: Mapping[str, Tensor] = torch.hub.load_state_dict_from_url(
            URL, map_location="cpu", check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        msg = f"{URL} cannot be downloaded ({error}); fetch it yourself and give --vgg FILE."
        raise TrainingError(msg) from error
    return weights, ""


def _read(path: Path) -> tuple[Mapping[str, Tensor], str]:
    """All tensors of a file, and what its metadata say about the input."""
    if not path.is_file():
        msg = f"There is no file {path} with weights of VGG19; torchvision's is at {URL}."
        raise TrainingError(msg)
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        msg = f'{path} needs the package {error.name}; pip install "degrain[train]"'
        raise TrainingError(msg) from error
    except Exception as error:
        msg = f"{path} holds no readable weights ({error}); fetch them again from {URL}."
        raise ModelError(msg) from error
    return found if isinstance(found, Mapping) else {}, ""


def _read_safetensors(path: Path) -> tuple[Mapping[str, Tensor], str]:
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        about = (file.metadata() or {}).get("input", "")
        return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118


def _checked(vgg: Vgg19, weights: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The tensors VGG19 wants, as float32; others (the classifier's) are left out."""
    chosen = {}
    for name, wanted in vgg.state_dict().items():
        if not isinstance(weights.get(name), Tensor):
            msg = f"{source} lacks {name}; it must be VGG19 in torchvision's layout, as at {URL}."
            raise ModelError(msg)
        if weights[name].shape != wanted.shape:
            shapes = tuple(weights[name].shape), tuple(wanted.shape)
            msg = f"{name} in {source} has shape {shapes[0]} where VGG19 has {shapes[1]}."
            raise ModelError(f"{msg} Give the weights of VGG19 in torchvision's layout.")
        chosen[name] = weights[name].float()
        if not chosen[name].isfinite().all():
            msg = f"{name} in {source} holds NaN or infinity; fetch the weights again from {URL}."
            raise ModelError(msg)
    return chosen
