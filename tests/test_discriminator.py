"""VGG19's loader, the discriminator, its loss and its reading as a patch prior."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from degrain.errors import ModelError, PictureError, TrainingError
from degrain.train.discriminator import (
    CLEAN,
    Discriminator,
    adversarial_loss,
    discrimination_loss,
    negative_log_prior,
    scratch_backbone,
)
from degrain.train.vgg import ENVIRONMENT, Vgg19, load_vgg, perceptual_distance


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Random weights in torchvision's layout, small enough in half precision."""
    torch.manual_seed(0)
    net = Vgg19()
    return {name: tensor.half() for name, tensor in net.state_dict().items()}


@pytest.fixture(scope="module")
def file(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save({**weights, "classifier.0.weight": torch.zeros(1)}, path)
    return path


def test_torchvisions_file_is_read(file: Path, weights: dict[str, Tensor]) -> None:
    vgg = load_vgg(file)
    assert not any(weight.requires_grad for weight in vgg.parameters())
    torch.testing.assert_close(vgg.features[0].weight, weights["features.0.weight"].float())
    gray = torch.full((1, 1, 2, 2), 0.485)
    normalized = vgg.normalize(gray)
    torch.testing.assert_close(normalized[0, 0], torch.zeros(2, 2))
    assert vgg(torch.rand(1, 1, 64, 64)).shape == (1, 512, 2, 2)


def test_caffes_convention_is_taken_from_the_metadata(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "vgg.safetensors"
    safetensors.save_file(weights, str(path), metadata={"input": "BGR, 0..255, minus mean"})
    rgb = torch.zeros(1, 3, 1, 1)
    rgb[:, 0] = 1.0  # red
    blue, green, red = load_vgg(path).normalize(rgb)[0, :, 0, 0].tolist()
    assert (blue, green, red) == pytest.approx((-103.939, -116.779, 255 - 123.68), abs=1e-3)


def test_the_environment_may_name_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(file))
    assert isinstance(load_vgg(None), Vgg19)


def test_without_weights_it_says_where_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    with pytest.raises(TrainingError, match=r"--vgg FILE.*vgg19-dcbb9e9d.*scratch"):
        load_vgg(None)
    with pytest.raises(TrainingError, match="no file"):
        load_vgg("nowhere.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features.5.weight": torch.zeros(64, 128, 3, 3)}, r"features\.5\.weight.*\(64, 128"),
        ({"features.34.bias": None}, r"lacks features\.34\.bias"),
        ({"features.0.bias": torch.full((64,), float("nan"))}, "NaN"),
    ],
    ids=["layout", "missing", "nan"],
)
def test_weights_that_do_not_fit(
    weights: dict[str, Tensor], tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    mixed = {**weights, **change}
    torch.save({k: v for k, v in mixed.items() if v is not None}, tmp_path / "v.pth")
    with pytest.raises(ModelError, match=message):
        load_vgg(tmp_path / "v.pth")


def test_damaged_files_are_one_sentence(tmp_path: Path) -> None:
    for name in ("v.pth", "v.safetensors"):
        (tmp_path / name).write_bytes(b"no weights")
        with pytest.raises(ModelError, match="no readable weights"):
            load_vgg(tmp_path / name)


def test_perceptual_distance_is_zero_for_equal_pictures_only(file: Path) -> None:
    vgg = load_vgg(file)
    torch.manual_seed(1)
    x = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        same = perceptual_distance(vgg, x, x)
        little = perceptual_distance(vgg, x, x + 0.01 * torch.randn(x.shape))
        much = perceptual_distance(vgg, x, x + 0.1 * torch.randn(x.shape))
    assert same.tolist() == [0.0, 0.0]
    assert (little > 0).all()
    assert (little < much).all()


def test_head_is_the_papers_and_only_it_is_kept_with_vgg() -> None:
    judge = Discriminator(Vgg19())
    outputs = [m.out_features for m in judge.head if isinstance(m, torch.nn.Linear)]
    assert outputs == [2048, 1024, 2]
    assert judge.head[1].in_features == 2048
    assert all(name.startswith("head.") for name in judge.learned())


def test_learned_weights_come_back() -> None:
    torch.manual_seed(0)
    first, second = (Discriminator(scratch_backbone(1), 32) for _ in range(2))
    second.restore(first.learned())
    x = torch.rand(3, 1, 32, 32)
    assert torch.equal(first(x), second(x))


def test_crops_must_divide() -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        Discriminator(scratch_backbone(1), 48)


def test_losses_and_accuracy() -> None:
    sure = torch.tensor([[8.0, -8.0], [8.0, -8.0]])  # denoised
    assert float(adversarial_loss(sure)) == pytest.approx(16.0, abs=1e-3)
    assert float(adversarial_loss(-sure)) == pytest.approx(0.0, abs=1e-3)
    loss, accuracy = discrimination_loss(sure, -sure)
    assert (float(loss), accuracy) == (pytest.approx(0, abs=1e-3), 1.0)
    assert discrimination_loss(sure, sure)[1] == 0.5
    assert discrimination_loss(-sure, sure)[1] == 0.0


def train_judge(sigma: float) -> Discriminator:
    """A small discriminator that knows smooth pictures from noisy ones."""
    torch.manual_seed(0)
    judge = Discriminator(scratch_backbone(1), 32)
    optimizer = torch.optim.Adam(judge.parameters(), 3e-4)
    for _ in range(30):
        clean = smooth(8)
        loss, _ = discrimination_loss(judge(clean + sigma * torch.randn(clean.shape)), judge(clean))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return judge.eval()


def smooth(count: int, side: int = 32) -> Tensor:
    coarse = torch.rand(count, 1, 4, 4)
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")


def test_the_prior_finds_noise_unlikely() -> None:
    judge = train_judge(0.2)
    clean = smooth(4, 70)
    noisy = clean + 0.2 * torch.randn(clean.shape)
    values = negative_log_prior(judge, clean), negative_log_prior(judge, noisy)
    assert (values[0] < values[1]).all()


def test_the_prior_averages_the_patches() -> None:
    torch.manual_seed(0)
    judge = Discriminator(scratch_backbone(1), 32).eval()
    x = torch.rand(2, 1, 64, 80)
    corners = [(0, 0), (0, 32), (32, 0), (32, 32)]
    with torch.no_grad():
        parts = [
            judge(x[:, :, a : a + 32, b : b + 32]).log_softmax(1)[:, CLEAN] for a, b in corners
        ]
    torch.testing.assert_close(negative_log_prior(judge, x), -torch.stack(parts).mean(0))


def test_the_prior_needs_room_for_a_patch() -> None:
    judge = Discriminator(scratch_backbone(1), 32)
    with pytest.raises(PictureError, match="32×32"):
        negative_log_prior(judge, torch.rand(1, 1, 31, 40))
