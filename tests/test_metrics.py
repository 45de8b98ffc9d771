import math

import numpy as np
import pytest

from degrain.errors import PictureError
from degrain.metrics import psnr, ssim


def pair(shape, scale=1.0):
    rng = np.random.default_rng(0)
    clean = rng.random(shape)
    return clean * scale, np.clip(clean + 0.1 * rng.standard_normal(shape), 0, 1) * scale


@pytest.mark.parametrize("shape", [(11, 11), (40, 31), (33, 40, 3), (20, 20, 1)])
def test_metrics_equal_scikit_image(shape):
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    clean, other = pair(shape)
    assert psnr(clean, other) == pytest.approx(
        peak_signal_noise_ratio(clean, other, data_range=1), abs=1e-9
    )
    reference = structural_similarity(
        clean,
        other,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=2 if len(shape) == 3 else None,
    )
    assert ssim(clean, other) == pytest.approx(reference, abs=1e-9)


def test_data_range_and_eight_bits():
    clean, other = (np.rint(image).astype(np.uint8) for image in pair((20, 30), 255))
    assert psnr(clean, other, data_range=255) == pytest.approx(psnr(clean / 255, other / 255))
    assert ssim(clean, other, data_range=255) == pytest.approx(ssim(clean / 255, other / 255))


def test_known_value():
    assert psnr(np.zeros((4, 4)), np.full((4, 4), 0.1)) == pytest.approx(20)


def test_identical_pictures():
    clean, _ = pair((12, 12))
    assert psnr(clean, clean) == math.inf
    assert ssim(clean, clean) == pytest.approx(1)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_other_shape_is_refused(metric):
    with pytest.raises(PictureError, match="cannot be compared"):
        metric(np.zeros((20, 20)), np.zeros((20, 20, 1)))


def test_ssim_of_tiny_picture_is_refused():
    with pytest.raises(PictureError, match="at least 11"):
        ssim(np.zeros((10, 20)), np.zeros((10, 20)))
