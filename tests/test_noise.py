import numpy as np
import pytest

from degrain.errors import PictureError, UsageError
from degrain.noise import add_noise, estimate_noise, parse_noise

SPECS = [
    "gaussian:25",
    "gaussian:0-55",
    "poisson:30",
    "poisson:5-60.5",
    "poisson-gaussian:0.01,0.02",
    "poisson-gaussian:0.001-0.01,0-0.02",
    "jpeg:40",
    "jpeg:30-90",
    "mask:0.5",
    "text:8",
    "text:8-12",
    "camera",
]


def texture(height=256, width=320, channels=3):
    """Waves and plaids of several scales, some tones close to black and white, a flat part."""
    y, x = np.mgrid[:height, :width] / 32.0
    planes = [
        0.5
        + 0.25 * np.sin(x * (1 + c) + y**1.5)
        + 0.15 * np.sin(9 * x * y / 8)
        + 0.08 * np.sign(np.sin(7 * x) * np.sin(5 * y + c))
        for c in range(channels)
    ]
    image = np.stack(planes, axis=2)
    image[: height // 4, : width // 3] = 0.6
    return np.clip(image, 0, 1)


@pytest.mark.parametrize("spec", SPECS)
def test_spec_comes_back(spec):
    assert str(parse_noise(spec)) == spec


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("shape", [(16, 24), (16, 24, 1), (17, 23, 3)])
def test_shape_dtype_and_seed(spec, shape):
    clean = texture(32, 32)[: shape[0], : shape[1]]
    clean = clean[..., 0] if len(shape) == 2 else clean[..., : shape[2]]
    noise = parse_noise(spec)
    first, same, other = (noise.add(clean, np.random.default_rng(s)) for s in (3, 3, 4))
    assert first.shape == shape
    assert first.dtype == np.float32
    assert np.array_equal(first, same)
    if spec != "jpeg:40":  # the only one without chance
        assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("spec", "deviation"),
    [
        ("gaussian:25", 25 / 255),
        ("poisson:30", np.sqrt(0.5 / 30)),
        ("poisson-gaussian:0.01,0.02", np.sqrt(0.5 * 0.01 + 0.02**2)),
        ("mask:0.3", 0.5 * np.sqrt(0.3 * 0.7)),
    ],
)
def test_mean_and_deviation(spec, deviation):
    clean = np.full((200, 200), 0.5)
    noisy = parse_noise(spec).add(clean, np.random.default_rng(0))
    assert noisy.std() == pytest.approx(deviation, rel=0.02)
    assert noisy.mean() == pytest.approx(0.35 if spec == "mask:0.3" else 0.5, abs=0.005)


def test_range_is_drawn_per_picture():
    noise = parse_noise("gaussian:10-50")
    clean = np.full((64, 64), 0.5)
    rng = np.random.default_rng(0)
    found = [255 * noise.add(clean, rng).std() for _ in range(30)]
    assert 9 < min(found) < 18
    assert 42 < max(found) < 52


def test_mask_takes_whole_pixels():
    noisy = parse_noise("mask:0.5").add(np.full((50, 50, 3), 0.5), np.random.default_rng(0))
    assert set(np.unique(noisy.sum(axis=2))) == {0.0, 1.5}


@pytest.mark.parametrize("size", [8, 20])
def test_text_is_white_and_leaves_the_picture_between(size):
    clean = texture()
    noisy = parse_noise(f"text:{size}").add(clean, np.random.default_rng(0))
    untouched = np.isclose(noisy, clean).all(axis=2)
    assert (noisy >= clean - 1e-6).all()
    assert 0.75 < untouched.mean() < 0.95
    assert (noisy == 1).all(axis=2).mean() > 0.02
    # Lines of text: as many rows without any as the gaps between them say.
    free = untouched.all(axis=1)
    assert free.mean() == pytest.approx(0.5, abs=0.1)
    assert np.diff(free.astype(int)).clip(0).sum() == pytest.approx(256 / (2 * size), abs=1.5)


def test_jpeg_quality_orders_the_error():
    clean = texture(64, 64)
    rng = np.random.default_rng(0)
    errors = [np.abs(parse_noise(f"jpeg:{q}").add(clean, rng) - clean).mean() for q in (10, 50, 95)]
    assert errors[0] > errors[1] > errors[2] > 0
    assert errors[2] < 0.03


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "gaussian",
        "gaussian:",
        "gausian:25",
        "gaussian:25,3",
        "gaussian:-5",
        "gaussian:50-10",
        "gaussian:nan",
        "poisson:0",
        "poisson-gaussian:0.01",
        "jpeg:0",
        "jpeg:101",
        "mask:1.5",
        "text:2",
        "camera:1",
        "camera:",
    ],
)
def test_bad_spec_says_what_to_do(spec):
    with pytest.raises(UsageError, match=r"write|within"):
        parse_noise(spec)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.float32, np.float64])
def test_add_noise_keeps_the_dtype(dtype):
    full = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    image = (texture(100, 100) * full).astype(dtype)
    noisy = add_noise(image, "gaussian:25", seed=1)
    assert noisy.dtype == dtype
    assert np.array_equal(noisy, add_noise(image, "gaussian:25", seed=1))
    assert not np.array_equal(noisy, add_noise(image, "gaussian:25", seed=2))
    middle = (image > 0.45 * full) & (image < 0.55 * full)
    difference = (noisy.astype(float) - image)[middle] / full
    assert difference.std() == pytest.approx(25 / 255, rel=0.05)


def test_integers_are_clipped_and_floats_are_not():
    white = np.full((50, 50), 255, np.uint8)
    assert add_noise(white, "gaussian:50").min() > 50
    assert (add_noise(white, "gaussian:50") == 255).mean() == pytest.approx(0.5, abs=0.05)
    assert add_noise(np.ones((50, 50)), "gaussian:50").max() > 1.2


@pytest.mark.parametrize("image", [np.zeros(5), np.zeros((0, 4)), np.zeros((4, 4), bool)])
def test_no_picture_is_refused(image):
    with pytest.raises(PictureError):
        add_noise(image, "gaussian:5")
    with pytest.raises(PictureError):
        estimate_noise(image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float32, np.float64])
def test_an_estimate_does_not_depend_on_how_samples_are_held(dtype):
    noisy = np.rint(np.random.default_rng(0).normal(100, 10, (200, 200)))
    assert estimate_noise(noisy.astype(dtype))[0] == pytest.approx(10, rel=0.05)
    assert estimate_noise(noisy.astype(dtype)) == pytest.approx(estimate_noise(noisy), rel=1e-5)


def test_the_noise_of_huge_floats_is_estimated():
    """Their range is more than 32-bit floats hold, though they are such."""
    huge = np.random.default_rng(0).uniform(-3e38, 3e38, (200, 200)).astype(np.float32)
    assert estimate_noise(huge) == pytest.approx(1e38 * estimate_noise(huge / np.float32(1e38)))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("spec", ["poisson:30", "poisson-gaussian:0.01,0.01"])
def test_photons_that_cannot_be_counted_are_refused(spec, value):
    with pytest.raises(PictureError, match="give floats around"):
        add_noise(np.full((4, 4), value, np.float32), spec)


def test_sixty_four_bit_integers_and_negative_seed_are_refused():
    with pytest.raises(PictureError, match="int64"):
        add_noise(np.zeros((4, 4), np.int64), "gaussian:5")
    with pytest.raises(UsageError, match="negative"):
        add_noise(np.zeros((4, 4)), "gaussian:5", seed=-1)


@pytest.mark.parametrize("sigma", [5, 10, 25, 50])
def test_estimate_on_texture_within_ten_percent(sigma):
    noisy = texture() + sigma / 255 * np.random.default_rng(sigma).standard_normal((256, 320, 3))
    assert 255 * estimate_noise(noisy) == pytest.approx([sigma] * 3, rel=0.1)


@pytest.mark.parametrize("sigma", [5, 25, 50])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_estimate_of_clipped_noise_within_ten_percent(sigma, dtype):
    full = np.iinfo(dtype).max
    noisy = add_noise((texture() * full).astype(dtype), f"gaussian:{sigma}")
    assert estimate_noise(noisy) / full * 255 == pytest.approx([sigma] * 3, rel=0.1)


def test_estimate_tells_channels_apart():
    rng = np.random.default_rng(0)
    noisy = texture() + np.array([5, 15, 30]) / 255 * rng.standard_normal((256, 320, 3))
    assert 255 * estimate_noise(noisy) == pytest.approx([5, 15, 30], rel=0.1)


def test_estimate_scales_with_the_units():
    noisy = add_noise(texture(64, 64, 1)[..., 0], "gaussian:20")
    plain = estimate_noise(noisy)
    assert estimate_noise(noisy * 1e6 + 7e6) == pytest.approx(plain * 1e6, rel=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 2), (7, 3), (4, 4), (8, 8), (60, 50, 3)])
def test_constant_pictures_have_no_noise(shape):
    assert np.array_equal(estimate_noise(np.full(shape, 0.3)), np.zeros((*shape, 1)[2]))


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (3, 900), (5, 2000), (64, 64)])
def test_estimate_of_small_and_thin_pictures(shape):
    noisy = 100 * np.random.default_rng(0).standard_normal(shape)
    assert estimate_noise(noisy)[0] == pytest.approx(100, rel=0.12)


def test_estimate_ignores_black_bars():
    noisy = np.rint(np.clip(texture() * 255, 0, 255)).astype(np.uint8)
    noisy = add_noise(noisy, "gaussian:20")
    noisy[:80] = 0
    assert estimate_noise(noisy) == pytest.approx([20] * 3, rel=0.1)


def test_estimate_refuses_nan():
    with pytest.raises(PictureError, match="NaN"):
        estimate_noise(np.full((10, 10), np.nan))
