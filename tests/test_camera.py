import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from degrain import camera_stages as stages
from degrain.camera import (
    MARGIN,
    Camera,
    develop,
    developed_noise,
    grain,
    take,
    to_raw,
    white_noise,
)
from degrain.metrics import psnr
from degrain.noise import add_noise, parse_noise
from degrain.shots import EVEN, Shot, draw_camera, draw_shot

SIZES = [(1, 1), (1, 7), (7, 3), (2, 2), (33, 47)]
FOUR_PATTERNS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def random_source(seed=0):
    return np.random.default_rng(seed)


def picture(height=48, width=64, channels=3):
    """Any color there is, black and white among them."""
    x = random_source(1).random((height, width, channels), dtype=np.float32)
    x[: height // 4] = np.float32(0)
    x[height // 4 : height // 2] = np.float32(1)
    x[:, : width // 4] *= np.float32(0.02)
    return x


def shots(count, seed=0):
    rng = random_source(seed)
    return [draw_camera(rng) for _ in range(count)]


def noise_of(shot, value=0.4, side=200):
    clean = np.full((side, side, 3), value, np.float32)
    return grain(clean, shot, random_source())


def neighbors(noise):
    """Correlation of pixels side by side."""
    noise = noise - noise.mean()
    return float((noise[:, 1:] * noise[:, :-1]).mean() / noise.var())


# Stages


def test_srgb_curve_has_its_known_values_and_an_inverse():
    x = np.linspace(0, 1, 1001, dtype=np.float32)
    light = stages.linear_from_srgb(x)
    assert np.interp([0.5, 0.04045, 1], x, light) == pytest.approx(
        [0.21404, 0.0031308, 1], abs=1e-5
    )
    assert (np.diff(light) > 0).all()
    assert np.abs(stages.srgb_from_linear(light) - x).max() < 1e-6
    assert stages.srgb_from_linear(np.float32([-1, 2])).tolist() == pytest.approx([0, 1])


@pytest.mark.parametrize("contrast", [0.7, 1, 1.25, 1.5])
def test_tone_curve_rises_and_can_be_undone(contrast):
    x = np.linspace(0, 1, 1001, dtype=np.float32)
    curved = stages.tone(x, contrast)
    assert curved[[0, 500, 1000]].tolist() == pytest.approx([0, 0.5, 1], abs=1e-6)
    assert (np.diff(curved) > 0).all()
    assert (curved[501] - curved[499]) * 500 == pytest.approx(contrast, rel=1e-3)
    assert np.abs(stages.untone(curved, contrast) - x).max() < 2e-6


@pytest.mark.parametrize(("contrast", "lift"), [(1, 1), (2, 0.5), (3, 0.5), (1.5, 0.8)])
def test_lifted_tone_curve_rises_and_can_be_undone(contrast, lift):
    x = np.linspace(0, 1, 1001, dtype=np.float32)
    curved = stages.tone(x, contrast, lift)
    assert curved[0] == 0
    assert curved[-1] == 1
    assert (np.diff(curved)[:980] > 0).all(), "beyond, single precision has no more steps"
    assert np.abs(stages.tone(stages.untone(x, contrast, lift), contrast, lift) - x).max() < 2e-6


def test_lifting_presses_light_tones_together():
    x = np.linspace(0, 1, 1001, dtype=np.float32)
    slopes = [np.diff(np.interp(x, stages.tone(x, 1.25 / lift, lift), x)) for lift in (1, 0.5)]
    plain, lifted = (1 / slope[700] / (1 / slope[300]) for slope in slopes)
    assert lifted < 0.75 * plain


def test_tone_curve_is_nearly_smoothstep():
    x = np.linspace(0, 1, 1001, dtype=np.float32)
    assert np.abs(stages.tone(x, 1.5) - (3 * x**2 - 2 * x**3)).max() < 0.009


@pytest.mark.parametrize("first_red", FOUR_PATTERNS)
def test_mosaic_keeps_the_color_of_each_place(first_red):
    row, column = first_red
    colors = np.broadcast_to(np.float32([1, 2, 3]), (6, 8, 3))
    raw = stages.mosaic(colors, first_red)
    assert (raw[row::2, column::2] == 1).all()
    assert (raw[1 - row :: 2, 1 - column :: 2] == 3).all()
    assert (raw == 2).sum() == raw.size / 2


@pytest.mark.parametrize("gain", [0.0, 0.001, 0.02])
@pytest.mark.parametrize("readout", [0.0, 0.005, 0.02])
def test_variance_of_sensor_noise(gain, readout):
    raw = np.repeat(np.float32([-0.1, 0, 0.1, 0.5, 1]), 40_000).reshape(5, -1)
    normal = random_source().standard_normal(raw.shape, dtype=np.float32)
    noise = stages.sensor_noise(raw, gain, readout, normal)
    expected = gain * np.maximum(raw[:, 0], 0) + readout**2
    assert noise.var(axis=1) == pytest.approx(expected, rel=0.03, abs=1e-12)
    assert noise.mean(axis=1) == pytest.approx(0, abs=0.002)


@pytest.mark.parametrize("first_red", FOUR_PATTERNS)
@pytest.mark.parametrize("correction", [0, 0.3, 1])
def test_demosaicing_is_exact_where_colors_rise_evenly(first_red, correction):
    y, x = np.mgrid[:12, :15].astype(np.float32)
    # The corrections assume that all channels rise alike.
    colors = np.stack([0.2 + 0.01 * x + 0.02 * y + c for c in (0, 0.1, 0.3)], axis=2)
    found = stages.demosaic(stages.mosaic(colors, first_red), first_red, correction)
    assert found.shape == (8, 11, 3)
    assert np.abs(found - colors[2:-2, 2:-2]).max() < 1e-5


def test_demosaicing_makes_neighbors_and_channels_alike():
    normal = random_source().standard_normal((300, 300), dtype=np.float32)
    assert abs(neighbors(normal)) < 0.02
    bilinear = stages.demosaic(normal, (0, 0), 0)
    corrected = stages.demosaic(normal, (0, 0), 1)
    assert all(neighbors(bilinear[..., c]) > 0.3 for c in range(3))
    between = [np.corrcoef(x.reshape(-1, 3).T)[0, 1] for x in (bilinear, corrected)]
    assert abs(between[0]) < 0.02
    assert between[1] > 0.2


def test_filters_keep_the_mean():
    assert stages.demosaic_filters(0.6).sum(axis=(1, 2)) == pytest.approx(np.ones(4))
    flat = np.full((12, 13, 3), 0.3, np.float32)
    wide = np.full((20, 21, 3), 0.3, np.float32)
    assert stages.retouch(wide, 0.8, 1.5, 0.7) == pytest.approx(np.full((4, 5, 3), 0.3), abs=1e-6)
    assert stages.resize(flat, 7, 21) == pytest.approx(np.full((7, 21, 3), 0.3), abs=1e-6)


def test_retouching_nothing_only_cuts_the_margin():
    noise = picture(20, 24)
    assert stages.retouch(noise, 0, 0, 0) == pytest.approx(noise[8:-8, 8:-8], abs=1e-6)


def test_smoothing_and_sharpening_of_noise():
    noise = random_source().standard_normal((200, 200, 3), dtype=np.float32)
    smooth = stages.retouch(noise, 0.5, 1.5, 0)
    sharp = stages.retouch(noise, 0.5, 1.5, 1)
    luma = np.float32(stages.LUMA)
    assert neighbors(smooth @ luma) > 0.2
    assert neighbors(sharp @ luma) < neighbors(smooth @ luma)
    assert (sharp @ luma).std() > (smooth @ luma).std()
    chroma = smooth[..., 0] - smooth[..., 2]
    assert neighbors(chroma) > neighbors(smooth @ luma)


def streaks(noise):
    """How much more alike pixels are along the best of four lines than on average, 5×5 windows."""
    kernels = stages.line_kernels(1.0)
    along = [stages._filtered(noise, kernel) ** 2 for kernel in kernels]
    energy = np.array([stages.blur(a[..., None], 2.0) for a in along])
    return float(energy.max(axis=0).mean() / energy.mean())


def with_other_phases(noise):
    """Noise of the same spectrum without any structure."""
    phases = np.angle(np.fft.rfft2(random_source(7).standard_normal(noise.shape)))
    spectrum = np.abs(np.fft.rfft2(noise)) * np.exp(1j * phases)
    return np.fft.irfft2(spectrum, s=noise.shape).astype(np.float32)


def test_smoothing_along_lines_leaves_streaks_that_no_spectrum_shows():
    normal = random_source().standard_normal((200, 200, 1), dtype=np.float32)
    noise = stages.blur(normal, 0.5)
    smooth = stages.smooth_along_lines(noise, noise[..., 0], 1.0)
    assert smooth.shape == (184, 184, 1)
    assert 0.4 < smooth.std() / noise.std() < 0.9
    linear = with_other_phases(smooth[..., 0])
    assert streaks(smooth[..., 0]) > 1.08 * streaks(linear)


def test_smoothing_along_lines_follows_the_edges_of_the_picture():
    normal = random_source().standard_normal((60, 60, 1), dtype=np.float32)
    bars = np.broadcast_to(np.float32(100) * (np.arange(60) // 6 % 2), (60, 60))
    smooth = stages.smooth_along_lines(normal, bars, 1.6)[..., 0]
    upright = stages.line_kernels(1.6)[2]
    expected = stages._filtered(normal[..., 0], upright)[2:-2, 2:-2]
    columns = np.arange(4, 56) % 6
    beside = (columns == 0) | (columns == 5)
    assert smooth[:, beside] == pytest.approx(expected[:, beside], abs=1e-6)


def test_smoothing_along_no_line_only_cuts_the_margin():
    noise = picture(20, 24)
    assert (stages.smooth_along_lines(noise, noise[..., 0], 0) == noise[4:-4, 4:-4]).all()


def test_coring_keeps_the_strongest_specks_and_the_grain_beside_edges():
    normal = random_source().standard_normal((200, 200, 1), dtype=np.float32)
    cored = stages.core(normal, normal[..., 0], 2.0, 0.0)
    assert cored.shape == (188, 188, 1)
    assert 0.4 < cored.std() < 0.8
    assert (cored**4).mean() / (cored**2).mean() ** 2 > 4, "of normal numbers 3"
    edge = np.zeros((200, 200), np.float32)
    edge[:, 100:] = 50
    cored = stages.core(normal, normal[..., 0] + edge, 2.0, 0.0)[..., 0]
    assert cored[:, 93:95].std() == pytest.approx(1, abs=0.1)
    assert cored[:, :80].std() < 0.7


@pytest.mark.parametrize(("coring", "spread_px"), [(0, 0), (0, 1), (1e-6, 0)])
def test_coring_nothing_only_cuts_the_margin(coring, spread_px):
    noise = random_source().standard_normal((20, 24, 3), dtype=np.float32)
    kept = stages.core(noise, noise[..., 1], coring, spread_px)
    assert kept == pytest.approx(noise[6:-6, 6:-6], abs=1e-5)


def test_coring_everything_is_smoothing():
    noise = random_source().standard_normal((20, 24, 3), dtype=np.float32)
    smooth = stages.blur(noise, 1.0, stages.FINE_REACH)[2:-2, 2:-2]
    assert stages.core(noise, noise[..., 1], 1e4, 1.0) == pytest.approx(smooth, abs=1e-5)


def test_dark_and_bright_parts_have_their_own_level():
    gray = np.linspace(0, 1, 101, dtype=np.float32)[None]
    level = stages.level_by_brightness(gray, (0.6, 0.1, 0.03), (0.4, 0.6, 0.05))[0]
    assert level.shape == (101,)
    assert level[[10, 60]] == pytest.approx([0.8, 0.7], abs=0.01)
    assert level[[0, 35, 100]] == pytest.approx([0.6, 1, 0.4], abs=0.01)
    assert stages.level_by_brightness(gray, EVEN, EVEN).tolist() == [[1] * 101]


def test_gray_has_less_color_noise_than_saturated_colors():
    clean = np.full((1, 101, 3), 0.2, np.float32)
    clean[0, :, 2] += np.linspace(0, 0.5, 101, dtype=np.float32)
    level = stages.level_by_saturation(clean, (0.4, 0.25, 0.05))[0]
    assert level.shape == (101,)
    assert level[[0, 50, 100]] == pytest.approx([0.4, 0.7, 1], abs=0.01)
    assert np.all(np.diff(level) >= 0)
    assert stages.level_by_saturation(clean, EVEN).tolist() == [[1] * 101]


def test_a_camera_spares_saturated_colors():
    clean = np.full((60, 120, 3), 0.5, np.float32)
    clean[:, 60:] = (0.8, 0.5, 0.2)
    shot = Shot(gain=0.001, red=2.0, blue=1.7)
    even, spared = (
        take(clean, s, random_source()) - clean
        for s in (shot, dataclasses.replace(shot, neutral=(0.4, 0.3, 0.05)))
    )
    luma = np.array(stages.LUMA)
    assert spared @ luma == pytest.approx(even @ luma, abs=1e-5)
    colors = [noise - (noise @ luma)[..., None] for noise in (even, spared)]
    assert colors[1][:, :50] == pytest.approx(0.4 * colors[0][:, :50], abs=1e-5)
    assert colors[1][:, 70:] == pytest.approx(colors[0][:, 70:], abs=1e-4)


def test_brightness_takes_part_in_levels_by_saturation_as_told():
    clean = np.full((60, 120, 3), 0.5, np.float32)
    clean[:, 60:] = (0.8, 0.5, 0.2)
    shot = Shot(gain=0.0001, red=2.0, blue=1.7)
    spared = dataclasses.replace(shot, neutral=(0.4, 0.3, 0.05), neutral_luma=0.5)
    luma = np.array(stages.LUMA)
    even, level = (((take(clean, s, random_source()) - clean) @ luma) for s in (shot, spared))
    assert level[:, :50] == pytest.approx(even[:, :50], abs=1e-5)
    assert level[:, 70:] == pytest.approx(0.4**-0.5 * even[:, 70:], abs=1e-4)


def test_level_is_one_at_steep_edges_and_lower_on_even_parts():
    gray = np.zeros((40, 60), np.float32)
    gray[:, 30:] = 0.8
    level = stages.level_by_detail(gray, 0.4, 0.04, 0.8)
    assert level.shape == (30, 50)
    assert level[:, 24:26].min() > 0.98
    assert level[:, :18] == pytest.approx(0.4)
    assert level[:, 22].max() < level[:, 23].min(), "it falls with the distance"
    step = stages.level_by_detail(
        0.04 * np.arange(40, dtype=np.float32)[None].repeat(40, 0), 0.4, 0.04, 0.8
    )
    assert step == pytest.approx(0.7), "half of the way"
    assert stages.level_by_detail(gray, 1, 0.04, 0.8) == pytest.approx(1)


def test_dimming_leaves_the_color():
    noise = random_source().standard_normal((20, 24, 3), dtype=np.float32)
    level = random_source(1).random((20, 24), dtype=np.float32)
    dimmed = stages.dim(noise, level)
    luma = np.array(stages.LUMA, np.float32)
    assert dimmed @ luma == pytest.approx(level * (noise @ luma), abs=1e-5)
    assert dimmed[..., 0] - dimmed[..., 2] == pytest.approx(noise[..., 0] - noise[..., 2], abs=1e-5)


def test_a_shot_has_its_levels():
    """In brightness, by brightness and beside an edge; color noise stays as it is."""
    luma = np.array(stages.LUMA, np.float32)
    clean = np.full((120, 120, 3), 0.7, np.float32)
    clean[:, 60:] = 0.1
    plain = Shot(gain=0.0005)
    noise = grain(clean, plain, random_source())
    for change, there, level in (
        ({"bright": (0.4, 0.5, 0.05)}, slice(5, 50), 0.4),
        ({"bright": (0.4, 0.5, 0.05)}, slice(70, 115), 1.0),
        ({"dark": (0.6, 0.3, 0.05)}, slice(70, 115), 0.6),
        ({"detail": (0.3, 0.04, 0.8)}, slice(5, 50), 0.3),
        ({"detail": (0.3, 0.04, 0.8)}, slice(59, 61), 1.0),
    ):
        found = grain(clean, dataclasses.replace(plain, **change), random_source())
        assert (found @ luma)[:, there] == pytest.approx(level * (noise @ luma)[:, there], abs=2e-3)
        color = found[..., 0] - found[..., 2]
        assert color == pytest.approx(noise[..., 0] - noise[..., 2], abs=1e-5)


def test_color_noise_may_be_coarse():
    noise = random_source().standard_normal((200, 200, 3), dtype=np.float32)
    smooth = stages.retouch(noise, 0, 3, 0)
    before, after = (float((x[..., 0] - x[..., 2]).std()) for x in (noise, smooth))
    assert after / before == pytest.approx(1 / (2 * 3 * np.sqrt(np.pi)), rel=0.06)


@pytest.mark.parametrize("sigma_px", [0.4, 1.6])
def test_line_filters_keep_the_mean_and_lie_on_their_lines(sigma_px):
    kernels = stages.line_kernels(sigma_px)
    assert kernels.sum(axis=(1, 2)) == pytest.approx(np.ones(4))
    assert [np.count_nonzero(kernel) for kernel in kernels] == [5] * 4
    assert (kernels[1] == kernels[3][:, ::-1]).all()


@pytest.mark.parametrize(("before", "after"), [(8, 8), (8, 16), (16, 8), (7, 3), (3, 7), (1, 5)])
def test_resizing_keeps_straight_lines_inside(before, after):
    x = np.arange(before, dtype=np.float32)[:, None, None]
    found = stages.resize(x, after, 1)[:, 0, 0]
    expected = (np.arange(after) + 0.5) * before / after - 0.5
    border = int(np.ceil(max(1, after / before)))
    assert found[border:-border] == pytest.approx(expected[border:-border], abs=1e-5)
    assert (found >= 0).all()
    assert (found <= before - 1).all()


# The whole


def test_raw_and_back():
    x = picture()
    for shot in shots(50):
        raw = to_raw(x, shot)
        assert np.abs(develop(raw, shot) - x).max() < 3e-6
        assert raw.min() > -0.02  # colors that a camera cannot see so pure
        assert raw.max() < 1.01


@pytest.mark.parametrize("channels", [1, 3])
def test_a_shot_without_noise_gives_the_clean_picture(channels):
    clean = picture(channels=channels)
    assert np.array_equal(take(clean, Shot(), random_source()), clean)
    for shot in shots(20):
        # The least noise there can be sends the picture through every stage.
        quiet = dataclasses.replace(shot, gain=0.0, readout=1e-12, quality=None)
        assert np.abs(take(clean, quiet, random_source()) - clean).max() < 1e-5


def test_the_clean_picture_is_not_moved():
    """Over many shots the noise averages out around the picture, not beside it."""
    y, x = np.mgrid[:24, :24]
    clean = np.repeat((0.3 + 0.4 * ((x // 4 + y // 4) % 2))[..., None], 3, axis=2)
    clean = clean.astype(np.float32)
    rng = random_source()
    drawn = [dataclasses.replace(shot, gain=0.001, quality=None) for shot in shots(300)]
    mean = np.mean([take(clean, shot, rng) for shot in drawn], axis=0)
    assert np.abs(mean - clean).max() < 0.03
    assert np.abs((mean - clean).mean(axis=(0, 1))).max() < 0.01


@pytest.mark.parametrize("value", [0.1, 0.4, 0.8])
def test_noise_has_little_offset(value):
    offsets = [255 * noise_of(shot, value, side=40).mean() for shot in shots(100)]
    assert abs(np.median(offsets)) < 1.5


def test_levels_are_those_of_photographs():
    levels = [255 * noise_of(shot, side=40).std() for shot in shots(300)]
    low, middle, high = np.percentile(levels, [5, 50, 95])
    assert 0.4 < low < 4
    assert 2 < middle < 15
    assert 15 < high < 55


def test_noise_is_alike_between_neighbors():
    shot = Shot(gain=0.002, red=2, blue=1.7)
    noise = noise_of(shot)
    assert all(neighbors(noise[..., c]) > 0.25 for c in range(3))


def test_red_and_blue_are_noisier_by_their_gains():
    noise = noise_of(Shot(readout=0.01, red=2, blue=1.5, correction=0), value=0.5)
    red, green, blue = noise.std(axis=(0, 1))
    assert red / blue == pytest.approx(2 / 1.5, rel=0.05)
    assert blue > green


def test_noise_depends_on_the_light():
    dark, light = (noise_of(Shot(gain=0.002), value).std() for value in (0.3, 0.9))
    # Photon noise grows with the root of the light, but gamma presses light parts together.
    assert dark > light
    slope = [(1 / 2.4) * 1.055 * stages.linear_from_srgb(np.float32(v)) ** (1 / 2.4 - 0.5)
             for v in (0.3, 0.9)]  # fmt: skip
    assert dark / light == pytest.approx(slope[0] / slope[1], rel=0.1)


@pytest.mark.parametrize("scale", [0.5, 0.7, 1.6])
def test_resized_noise_is_finer_or_coarser(scale):
    shot = Shot(gain=0.002, scale=scale)
    plain = noise_of(dataclasses.replace(shot, scale=1))
    noise = noise_of(shot)
    assert noise.shape == plain.shape
    assert (neighbors(noise) > neighbors(plain)) == (scale > 1)
    assert noise.std() < plain.std()


def test_jpeg_is_the_last_stage():
    clean = picture()
    noisy = take(clean, Shot(gain=0.002, quality=80), random_source())
    levels = noisy * 255
    assert levels == pytest.approx(np.rint(levels), abs=1e-4)
    assert psnr(clean, noisy) > 15


@pytest.mark.parametrize(
    ("subsampling", "down", "right"),
    [("4:4:4", False, False), ("4:2:2", False, True), ("4:2:0", True, True)],
)
def test_jpeg_shares_color_between_pixels(subsampling, down, right):
    """Within pixels that share a color it changes less than between them."""
    noisy = take(
        np.full((96, 96, 3), 0.5, np.float32),
        Shot(sigma_255=10, gain=1e-9, quality=99, subsampling=subsampling),
        random_source(),
    )
    color = noisy[..., 0] - noisy[..., 2]
    across, along = ((np.diff(color, axis=axis) ** 2).mean(1 - axis) for axis in (1, 0))
    assert (across[::2].mean() < 0.7 * across[1::2].mean()) == right
    assert (along[::2].mean() < 0.7 * along[1::2].mean()) == down


def test_shares():
    drawn = [draw_shot(rng) for rng in [random_source(5)] for _ in range(5000)]
    untouched = sum(shot == Shot() for shot in drawn) / len(drawn)
    white = [s.sigma_255 for s in drawn if s.sigma_255]
    assert untouched == pytest.approx(0.05, abs=0.01)
    assert len(white) / len(drawn) == pytest.approx(0.25, abs=0.02)
    assert np.mean([s < 2 for s in white]) == pytest.approx(0.2 + 0.8 * 2 / 55, abs=0.04)
    assert max(white) > 50
    sensors = [shot for shot in drawn if shot.has_sensor]
    assert len(sensors) / len(drawn) == pytest.approx(0.7, abs=0.02)
    assert np.mean([s.quality is None for s in sensors]) == pytest.approx(0.3, abs=0.03)
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        share = np.mean([s.subsampling == subsampling for s in sensors])
        assert share == pytest.approx(1 / 3, abs=0.03)
    assert np.mean([s.dark == s.bright == EVEN for s in sensors]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([s.detail == EVEN for s in sensors]) == pytest.approx(1 / 3, abs=0.03)
    assert np.mean([s.neutral == EVEN for s in sensors]) == pytest.approx(1 / 3, abs=0.03)
    assert np.mean([s.neutral_luma for s in sensors]) == pytest.approx(0.35, abs=0.02)
    assert np.mean([s.scale == 1 for s in sensors]) == pytest.approx(0.6, abs=0.03)
    assert np.mean([s.luma_px == s.chroma_px == 0 for s in sensors]) == pytest.approx(0.3, abs=0.03)
    for some in (sensors, [shot for shot in drawn if shot.sigma_255]):
        assert np.mean([s.color == 1 for s in some]) == pytest.approx(0.6, abs=0.05)
        assert np.mean([s.color == 0 for s in some]) == pytest.approx(0.1, abs=0.03)
    assert all(s.sigma_255 == 0 and 0.5 <= s.scale <= 2 for s in sensors)


@pytest.mark.parametrize("color", [1.0, 0.6, 0.0])
def test_noise_may_be_gray(color):
    white = white_noise((200, 200, 3), color, random_source())
    assert white.std() == pytest.approx(1, abs=0.02)
    correlation = np.corrcoef(white[..., 0].ravel(), white[..., 1].ravel())[0, 1]
    assert correlation == pytest.approx(1 - color**2, abs=0.02)
    shot = Shot(gain=0.003, red=2, blue=1.7)
    noise, faded = noise_of(shot), noise_of(dataclasses.replace(shot, color=color))
    luma = np.array(stages.LUMA, np.float32)
    assert faded @ luma == pytest.approx(noise @ luma, abs=1e-5)
    colors = (noise[..., 0] - noise[..., 2]).std(), (faded[..., 0] - faded[..., 2]).std()
    assert colors[1] == pytest.approx(color * colors[0], abs=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [None, 1, 2, 3])
def test_any_size_and_number_of_channels(size, channels):
    clean = picture(*size)
    clean = clean[..., 0] if channels is None else clean[..., :channels]
    for seed in range(30):
        noisy = Camera().add(clean, random_source(seed))
        assert noisy.shape == clean.shape
        assert noisy.dtype == np.float32
        assert np.isfinite(noisy).all()
        assert np.array_equal(noisy, Camera().add(clean, random_source(seed)))


def test_values_out_of_range_do_no_harm():
    clean = np.linspace(-1, 2, 300).reshape(10, 10, 3)
    for shot in shots(10):
        assert np.isfinite(take(clean.astype(np.float32), shot, random_source())).all()


def test_gray_noise_is_that_of_a_color_picture():
    shot = Shot(gain=0.003, red=2, blue=1.7)
    gray = np.full((150, 150, 1), 0.5, np.float32)
    noise = grain(gray, shot, random_source())
    expected = noise_of(shot, 0.5, side=150) @ np.float32(stages.LUMA)
    assert noise.shape == gray.shape
    assert np.abs(noise[..., 0] - expected).max() < 1e-6


def test_spec_and_integers():
    noise = parse_noise("camera")
    assert isinstance(noise, Camera)
    assert str(noise) == "camera"
    image = (picture() * 255).astype(np.uint8)
    noisy = add_noise(image, "camera", seed=3)
    assert noisy.dtype == np.uint8
    assert np.array_equal(noisy, add_noise(image, "camera", seed=3))


# The twin for training


@pytest.fixture
def twin():
    pytest.importorskip("torch")
    from degrain.train import camera, camera_stages

    return SimpleNamespace(**(vars(camera_stages) | vars(camera)))


def nchw(*pictures):
    import torch

    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def hwc(x_nchw):
    return x_nchw.permute(0, 2, 3, 1).numpy()


HEIGHT, WIDTH = 45, 52
DRAWN = shots(8, seed=4)
PICTURES = [np.roll(picture(HEIGHT, WIDTH), 3 * i, axis=0) for i in range(len(DRAWN))]


def test_torch_curves_and_colors(twin):
    x = nchw(*PICTURES)
    expected = [stages.linear_from_srgb(p) for p in PICTURES]
    assert hwc(twin.linear_from_srgb(x)) == pytest.approx(np.stack(expected), abs=1e-6)
    expected = [stages.srgb_from_linear(p) for p in PICTURES]
    assert hwc(twin.srgb_from_linear(x)) == pytest.approx(np.stack(expected), abs=1e-6)
    raw = [to_raw(p, s) for p, s in zip(PICTURES, DRAWN, strict=True)]
    assert hwc(twin.to_raw(x, DRAWN)) == pytest.approx(np.stack(raw), abs=2e-6)
    expected = [develop(r, s) for r, s in zip(raw, DRAWN, strict=True)]
    assert hwc(twin.develop(nchw(*raw), DRAWN)) == pytest.approx(np.stack(expected), abs=5e-6)


def test_torch_sensor(twin):
    raw = [stages.mosaic(p, s.first_red) for p, s in zip(PICTURES, DRAWN, strict=True)]
    mosaics = twin.mosaic(nchw(*PICTURES), DRAWN)
    assert np.array_equal(mosaics[:, 0].numpy(), np.stack(raw))
    normal = random_source().standard_normal((len(raw), *raw[0].shape), dtype=np.float32)
    noise = [
        stages.sensor_noise(r, s.gain, s.readout, n)
        for r, s, n in zip(raw, DRAWN, normal, strict=True)
    ]
    found = twin.sensor_noise(mosaics, DRAWN, nchw(*normal[..., None]))
    assert found[:, 0].numpy() == pytest.approx(np.stack(noise), abs=1e-6)
    expected = [
        stages.demosaic(n, s.first_red, s.correction) for n, s in zip(noise, DRAWN, strict=True)
    ]
    assert hwc(twin.demosaic(found, DRAWN)) == pytest.approx(np.stack(expected), abs=1e-6)


def test_torch_retouching(twin):
    expected = [
        stages.retouch(p, s.luma_px, s.chroma_px, s.sharpening)
        for p, s in zip(PICTURES, DRAWN, strict=True)
    ]
    assert hwc(twin.retouch(nchw(*PICTURES), DRAWN)) == pytest.approx(np.stack(expected), abs=2e-6)


def test_torch_smoothing_along_lines(twin):
    noise = random_source().standard_normal((*np.shape(PICTURES)[:3], 3), dtype=np.float32)
    gray = np.stack(PICTURES)[..., :1]
    shots_of_lines = [Shot(line_px=sigma_px) for sigma_px in (0, 0.4, 0.7, 1, 1.3, 1.6, 0, 2)]
    expected = [
        stages.smooth_along_lines(n, p[..., 0], s.line_px)
        for n, p, s in zip(noise, gray, shots_of_lines, strict=True)
    ]
    found = twin.smooth_along_lines(nchw(*noise), nchw(*gray), shots_of_lines)
    # Where two lines are alike rounding may choose.
    near = np.isclose(hwc(found), np.stack(expected), atol=2e-6)
    assert near.mean() > 0.99


def test_torch_coring(twin):
    noise = random_source().standard_normal((*np.shape(PICTURES)[:3], 3), dtype=np.float32)
    gray = noise[..., :1] + np.stack(PICTURES)[..., :1]
    drawn = [(0, 1), (0.5, 0), (1, 0.5), (1.5, 1), (2, 1.5), (2.5, 2), (3, 0.3), (0, 0)]
    cored = [
        Shot(coring=coring, coring_px=spread_px, fine_px=fine_px)
        for (coring, spread_px), fine_px in zip(drawn, np.linspace(0.7, 2.5, 8), strict=True)
    ]
    expected = [
        stages.core(n, g[..., 0], s.coring, s.coring_px, s.fine_px)
        for n, g, s in zip(noise, gray, cored, strict=True)
    ]
    found = hwc(twin.core(nchw(*noise), nchw(*gray), cored))
    assert found == pytest.approx(np.stack(expected), abs=3e-6)


def test_torch_levels(twin):
    gray = np.stack(PICTURES)[..., :1]
    drawn = [
        dataclasses.replace(shot, dark=(0.5 + i / 20, 0.1, 0.05), bright=(0.4, 0.3 + i / 20, 0.1))
        for i, shot in enumerate(DRAWN)
    ]
    drawn = [
        dataclasses.replace(shot, detail=(0.3 + i / 20, 0.02 + i / 100, 0.5 + i / 10))
        for i, shot in enumerate(drawn)
    ]
    expected = [
        stages.level_by_brightness(g[..., 0], s.dark, s.bright)
        for g, s in zip(gray, drawn, strict=True)
    ]
    found = hwc(twin.level_by_brightness(nchw(*gray), drawn))[..., 0]
    assert found == pytest.approx(np.stack(expected), abs=1e-5)
    expected = [
        stages.level_by_detail(g[..., 0], *s.detail) for g, s in zip(gray, drawn, strict=True)
    ]
    assert hwc(twin.level_by_detail(nchw(*gray), drawn))[..., 0] == pytest.approx(
        np.stack(expected), abs=1e-5
    )
    drawn = [
        dataclasses.replace(s, neutral=(0.3 + i / 20, 0.1 + i / 30, 0.05 + i / 100))
        for i, s in enumerate(drawn)
    ]
    expected = [
        stages.level_by_saturation(p, s.neutral) for p, s in zip(PICTURES, drawn, strict=True)
    ]
    found = hwc(twin.level_by_saturation(nchw(*PICTURES), drawn))[..., 0]
    assert found == pytest.approx(np.stack(expected), abs=1e-5)
    dimmed = [stages.dim(p, g[..., 0]) for p, g in zip(PICTURES, gray, strict=True)]
    assert hwc(twin.dim(nchw(*PICTURES), nchw(*gray))) == pytest.approx(np.stack(dimmed), abs=1e-6)


def test_torch_jpeg_of_each_shot(twin):
    subsamplings = ["4:2:0", "4:4:4", "4:2:2", "4:2:2", "4:4:4", "4:2:0", "4:2:2", "4:2:0"]
    coded = [Shot(quality=80 + i, subsampling=name) for i, name in enumerate(subsamplings)]
    coded[4] = Shot()
    smooth = [stages.blur(p, 2.0) for p in PICTURES]
    found = hwc(twin.take_shots(nchw(*smooth), coded, None))
    for answer, clean, shot in zip(found, smooth, coded, strict=True):
        expected = take(clean, shot, random_source())
        assert np.abs(answer - expected).mean() < 0.003
        others = {
            name: take(clean, dataclasses.replace(shot, subsampling=name), random_source())
            for name in set(subsamplings)
        }
        nearest = min(others, key=lambda name: np.abs(answer - others[name]).mean())
        assert shot.quality is None or nearest == shot.subsampling


def test_torch_fading(twin):
    color = random_source().random((*np.shape(PICTURES)[:3], 1), dtype=np.float32)
    expected = [stages.fade(p, c[..., 0]) for p, c in zip(PICTURES, color, strict=True)]
    found = hwc(twin.fade(nchw(*PICTURES), nchw(*color)))
    assert found == pytest.approx(np.stack(expected), abs=1e-6)


def test_torch_white_noise_is_as_colorful(twin):
    drawn = [Shot(sigma_255=10, color=color) for color in (1, 0.6, 0)]
    noise = hwc(twin.white_noise(nchw(*[np.zeros((150, 150, 3), np.float32)] * 3), drawn, None))
    for found, shot in zip(noise, drawn, strict=True):
        assert found.std() == pytest.approx(1, abs=0.02)
        assert np.corrcoef(found[..., 0].ravel(), found[..., 2].ravel())[0, 1] == pytest.approx(
            1 - shot.color**2, abs=0.03
        )


def test_torch_resizing_of_several_sizes_at_once(twin):
    sizes = [s.sensor_size(HEIGHT, WIDTH) for s in DRAWN]
    assert len(set(sizes)) > 2
    found = hwc(twin.resize(nchw(*PICTURES), [(HEIGHT, WIDTH)] * len(sizes), sizes))
    back = hwc(twin.resize(nchw(*found), sizes, [(HEIGHT, WIDTH)] * len(sizes)))
    for i, (height, width) in enumerate(sizes):
        small = stages.resize(PICTURES[i], height, width)
        assert found[i, :height, :width] == pytest.approx(small, abs=2e-6)
        assert (found[i, height:] == found[i, height - 1]).all()
        assert back[i] == pytest.approx(stages.resize(small, HEIGHT, WIDTH), abs=2e-6)


def test_torch_noise_is_the_same(twin):
    normal = random_source().standard_normal((len(PICTURES), HEIGHT, WIDTH), dtype=np.float32)
    expected = [developed_noise(p, s, n) for p, s, n in zip(PICTURES, DRAWN, normal, strict=True)]
    found = twin.developed_noise(nchw(*PICTURES), DRAWN, nchw(*normal[..., None]))
    assert expected[0].shape == (HEIGHT - 2 * MARGIN, WIDTH - 2 * MARGIN, 3)
    assert hwc(found) == pytest.approx(np.stack(expected), abs=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_torch_without_noise_gives_the_clean_picture(twin, channels):
    clean = nchw(*(p[..., :channels] for p in PICTURES))
    assert np.array_equal(twin.take_shots(clean, [Shot()] * len(clean), None), clean)
    quiet = [dataclasses.replace(s, gain=0.0, readout=1e-12, quality=None) for s in DRAWN]
    assert np.abs((twin.take_shots(clean, quiet, None) - clean).numpy()).max() < 1e-5


def test_torch_has_the_statistics_of_numpy(twin):
    import torch

    gray = np.full((200, 200, 3), 0.3, np.float32)
    drawn = [dataclasses.replace(s, quality=None) for s in shots(12, seed=4)]
    generator = torch.Generator().manual_seed(0)
    found = hwc(twin.take_shots(nchw(*[gray] * 12), drawn, generator)) - gray
    for noise, shot in zip(found, drawn, strict=True):
        expected = take(gray, shot, random_source()) - gray
        assert noise.std() == pytest.approx(expected.std(), rel=0.06)
        assert neighbors(noise[..., 1]) == pytest.approx(neighbors(expected[..., 1]), abs=0.06)


def test_torch_leaves_untouched_what_is_drawn_so(twin):
    import torch

    clean = torch.full((400, 3, 8, 8), 0.5)
    noisy = twin.take(clean, Camera(), torch.Generator().manual_seed(0))
    same = (noisy == clean).all(dim=(1, 2, 3))
    assert same.float().mean() == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_torch_takes_any_size(twin, size, channels):
    import torch

    clean = nchw(*[picture(*size)[..., :channels]] * 24)
    noisy = twin.take(clean, Camera(), torch.Generator().manual_seed(1))
    assert noisy.shape == clean.shape
    assert noisy.isfinite().all()
    assert torch.equal(noisy, twin.take(clean, Camera(), torch.Generator().manual_seed(1)))
    assert not torch.equal(noisy, twin.take(clean, Camera(), torch.Generator().manual_seed(2)))
