import numpy as np
import pytest

from degrain.errors import TrainingError
from degrain.noise import parse_noise

torch = pytest.importorskip("torch")
SPECS = [
    "gaussian:25",
    "gaussian:0-55",
    "poisson:5-60",
    "poisson-gaussian:0.01,0.02",
    "jpeg:20-90",
    "mask:0.2-0.7",
    "text:6-9",
    "camera",
]


def degrade(clean, spec, seed=0):
    from degrain.train.degrade import degrade as function

    return function(clean, parse_noise(spec), torch.Generator().manual_seed(seed))


def picture(height, width):
    """Smooth colors with edges, as 8-bit values in 0..1."""
    y, x = np.mgrid[:height, :width] / 20.0
    edges = 0.15 * np.sign(np.sin(3 * y - x))
    planes = [0.5 + 0.3 * np.sin(x * c + y) + edges for c in (1, 2, 3)]
    return np.rint(np.clip(np.stack(planes, axis=2), 0, 1) * 255).astype(np.float32) / 255


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_determinism(spec, channels):
    clean = torch.rand(3, channels, 17, 24, generator=torch.Generator().manual_seed(1))
    noisy = degrade(clean, spec)
    assert noisy.shape == clean.shape
    assert noisy.dtype == clean.dtype
    assert torch.equal(noisy, degrade(clean, spec))
    assert not torch.equal(noisy, degrade(clean, spec, seed=1))


@pytest.mark.parametrize(
    "spec", ["gaussian:25", "poisson:30", "poisson-gaussian:0.01,0.02", "mask:0.3", "text:9"]
)
def test_same_statistics_as_numpy(spec):
    noisy = degrade(torch.full((1, 1, 200, 200), 0.4), spec).numpy()
    reference = parse_noise(spec).add(np.full((200, 200), 0.4), np.random.default_rng(0))
    assert noisy.mean() == pytest.approx(reference.mean(), abs=0.005)
    assert noisy.std() == pytest.approx(reference.std(), rel=0.03)


def test_every_picture_draws_its_own_level():
    clean = torch.full((40, 1, 48, 48), 0.5)
    sigmas = 255 * (degrade(clean, "gaussian:0-55") - clean).std(dim=(1, 2, 3))
    assert sigmas.min() < 8
    assert sigmas.max() > 47
    assert sigmas.mean() == pytest.approx(27.5, abs=8)


@pytest.mark.parametrize("quality", [10, 40, 75, 95])
@pytest.mark.parametrize("size", [(64, 64), (61, 45)])
def test_jpeg_is_close_to_libjpeg(quality, size):
    clean = picture(*size)
    x_nchw = torch.from_numpy(clean).permute(2, 0, 1)[None]
    rng = np.random.default_rng(0)
    noise = parse_noise(f"jpeg:{quality}")
    damage = np.abs(noise.add(clean, rng) - clean).mean()
    color = degrade(x_nchw, str(noise))[0].permute(1, 2, 0).numpy()
    gray = degrade(x_nchw[:, 1:2], str(noise))[0, 0].numpy()
    assert np.abs(color - noise.add(clean, rng)).mean() < min(0.004, damage / 2)
    assert np.abs(gray - noise.add(clean[:, :, 1], rng)).mean() < 0.001


@pytest.mark.parametrize("quality", [40, 75, 95])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("size", [(64, 64), (61, 45)])
def test_subsampled_color_is_that_of_libjpeg(quality, subsampling, size):
    """Pillow's libjpeg writes 4:2:2, which libvips does not."""
    from io import BytesIO

    from PIL import Image

    from degrain.jpeg import through_jpeg
    from degrain.train.jpeg import through_jpeg as on_batches

    clean = picture(*size)
    pixels, file = np.rint(clean * 255).astype(np.uint8), BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=quality, subsampling=subsampling)
    expected = np.asarray(Image.open(file)) / 255
    damage = np.abs(expected - pixels / 255).mean()
    x_nchw = torch.from_numpy(clean).permute(2, 0, 1)[None]
    batch = on_batches(x_nchw, torch.full((1, 1, 1, 1), float(quality)), subsampling)
    for found in (through_jpeg(clean, quality, subsampling), batch[0].permute(1, 2, 0).numpy()):
        assert np.abs(found - expected).mean() < min(0.004, damage / 2)


def test_unknown_noise_is_refused():
    from degrain.train.degrade import degrade as function

    with pytest.raises(TrainingError, match="--pairs"):
        function(torch.zeros(1, 1, 4, 4), object())


def test_levels_of_a_batch_are_spread_over_the_range() -> None:
    """One crop in each quarter of the range, in any order; each uniform over many batches."""
    flat = torch.full((4, 1, 64, 64), 0.5)
    found = []
    for seed in range(200):
        noisy = degrade(flat, "gaussian:0-100", seed)
        levels = 255 * (noisy - flat).std((1, 2, 3))
        assert (levels.sort().values - torch.tensor([12.5, 37.5, 62.5, 87.5])).abs().max() < 16
        found.append(levels)
    first = torch.stack(found)[:, 0]
    assert 44 < first.mean() < 56
    assert 25 < first.std() < 33
