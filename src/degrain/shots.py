"""What is drawn once per picture of the noise `camera`: the parameters of a shot.

Sources: Brooks et al., "Unprocessing images for learned raw denoising", CVPR 2019 (gains, readout
noise, color matrices, brightness); the others: docs/explanation/camera-noise.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from degrain.camera_stages import Level
from degrain.jpeg import SUBSAMPLINGS

Floats = NDArray[np.float32]
Matrix = tuple[tuple[float, float, float], ...]

EVEN: Final = (1.0, 0.5, 0.1)
"""A level that is 1 everywhere."""
IDENTITY: Final = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Shot:
    """All that is drawn once per picture; as it stands, nothing happens to the picture.

    Attributes:
        sigma_255: white Gaussian noise on the finished picture, on the 0..255 scale.
        color: how colorful the noise is. Of white noise: 1 is independent in the channels, 0 the
            same in all of them. Of a camera: what it leaves of the color noise.
        gain: signal of one photon, of a full scale of 1; 0 and no readout noise: no sensor.
        readout: standard deviation of the readout noise, of a full scale of 1.
        brightness: gain of all channels after the sensor.
        red, blue: white balance, gains against green.
        camera_from_rgb: linear sRGB to the camera's colors, 3×3.
        contrast, lift: of the tone curve, see `camera_stages.tone`.
        first_red: row and column of the first red pixel of the mosaic, 0 or 1 each.
        correction: of the demosaicing, 0..1, see `camera_stages.demosaic`.
        line_px: smoothing along lines, see `camera_stages.smooth_along_lines`; 0: none.
        coring, coring_px, fine_px: smoothing of small steps, see `camera_stages.core`; a coring
            of 0: none.
        luma_px, chroma_px: smoothing in the camera, standard deviations in pixels of the sensor.
        sharpening: amount of unsharp masking.
        dark, bright: how strong noise is there, see `camera_stages.level_by_brightness`.
        detail: how strong it is on even parts, see `camera_stages.level_by_detail`.
        neutral: how strong color noise is on gray, see `camera_stages.level_by_saturation`.
        neutral_luma: power of that level, against the one on gray, that noise of brightness has
            too: 1 on gray and more in saturated colors; 0: none of it.
        scale: pixels of the picture per pixel of the sensor, along one side.
        quality, subsampling: of JPEG, see `degrain.jpeg.through_jpeg`; quality None: no JPEG.
    """

    sigma_255: float = 0.0
    color: float = 1.0
    gain: float = 0.0
    readout: float = 0.0
    brightness: float = 1.0
    red: float = 1.0
    blue: float = 1.0
    camera_from_rgb: Matrix = IDENTITY
    contrast: float = 1.0
    lift: float = 1.0
    first_red: tuple[int, int] = (0, 0)
    correction: float = 0.0
    line_px: float = 0.0
    coring: float = 0.0
    coring_px: float = 0.0
    fine_px: float = 1.0
    luma_px: float = 0.0
    chroma_px: float = 0.0
    sharpening: float = 0.0
    dark: Level = EVEN
    bright: Level = EVEN
    detail: Level = EVEN
    neutral: Level = EVEN
    neutral_luma: float = 0.0
    scale: float = 1.0
    quality: int | None = None
    subsampling: str = "4:2:0"

    @property
    def has_sensor(self) -> bool:
        """Does it go through the raw picture at all?"""
        return self.gain > 0 or self.readout > 0

    @property
    def gains(self) -> Floats:
        """Gains of the camera's R, G and B after the sensor."""
        gains = [self.red * self.brightness, self.brightness, self.blue * self.brightness]
        return np.array(gains, np.float32)

    def sensor_size(self, height: int, width: int) -> tuple[int, int]:
        """Pixels of the sensor that became a picture of this size."""
        return max(1, round(height / self.scale)), max(1, round(width / self.scale))


# Where the shares and ranges come from: docs/explanation/camera-noise.md
CLEAN_SHARE: Final = 0.05
NEARLY_CLEAN_SHARE: Final = 0.05
WHITE_SHARE: Final = 0.2


def draw_shot(rng: np.random.Generator) -> Shot:
    """The parameters of a picture: left clean, white noise, or a camera's noise."""
    lot = rng.random()
    if lot < CLEAN_SHARE:
        return Shot()
    if lot < CLEAN_SHARE + NEARLY_CLEAN_SHARE:
        return Shot(sigma_255=rng.uniform(0, 2), color=_draw_color(rng))
    if lot < CLEAN_SHARE + NEARLY_CLEAN_SHARE + WHITE_SHARE:
        return Shot(sigma_255=rng.uniform(0, 55), color=_draw_color(rng))
    return draw_camera(rng)


def draw_camera(rng: np.random.Generator) -> Shot:
    """The parameters of a picture with camera noise."""
    gain, readout = _draw_noise_level(rng)
    luma_px, chroma_px = _draw_smoothing(rng)
    contrast, lift = _draw_tone(rng)
    dark, bright = _draw_levels(rng)
    detail = _draw_detail(rng)
    return Shot(
        color=_draw_color(rng),
        gain=gain,
        readout=readout,
        brightness=1 / float(np.clip(rng.normal(0.8, 0.1), 0.5, 1)),
        red=rng.uniform(1.9, 2.4),
        blue=rng.uniform(1.5, 1.9),
        camera_from_rgb=_draw_matrix(rng),
        contrast=contrast,
        lift=lift,
        first_red=(int(rng.integers(2)), int(rng.integers(2))),
        correction=rng.uniform(0, 1),
        luma_px=luma_px,
        chroma_px=chroma_px,
        sharpening=rng.uniform(0, 1) if rng.random() < 0.5 else 0.0,
        scale=_draw_scale(rng),
        quality=int(rng.integers(60, 100)) if rng.random() < 0.7 else None,
        subsampling=str(rng.choice(list(SUBSAMPLINGS))),
        line_px=rng.uniform(0.4, 1.6) if rng.random() < 0.5 else 0.0,
        coring=rng.uniform(0.5, 3) if rng.random() < 0.5 else 0.0,
        coring_px=rng.uniform(0, 2),
        fine_px=rng.uniform(0.7, 2.5),
        dark=dark,
        bright=bright,
        detail=detail,
        neutral=_draw_neutral(rng),
        neutral_luma=rng.uniform(0, 0.7),
    )


def _draw_noise_level(rng: np.random.Generator) -> tuple[float, float]:
    """Gain and readout noise, tied together as in the cameras of the Darmstadt Noise Dataset.

    Brooks et al. 2019: log variance = 2.18 log gain + 1.2, give or take 0.26.
    """
    log_gain = rng.uniform(np.log(5e-5), np.log(0.012))
    log_variance = 2.18 * log_gain + 1.2 + rng.normal(0, 0.26)
    return float(np.exp(log_gain)), float(np.exp(log_variance / 2))


def _draw_tone(rng: np.random.Generator) -> tuple[float, float]:
    """Contrast and lift; near black the curve is x^(contrast · lift), up to the curve of Brooks."""
    lift = rng.uniform(0.5, 1)
    return rng.uniform(1, 1.5) / lift, lift


def _draw_levels(rng: np.random.Generator) -> tuple[Level, Level]:
    """Noise in dark and bright parts: in half of the shots weaker than in middle tones."""
    if rng.random() < 0.5:
        return EVEN, EVEN
    dark = rng.uniform(0.5, 1), rng.uniform(0.05, 0.25), rng.uniform(0.03, 0.1)
    bright = rng.uniform(0.3, 1), rng.uniform(0.35, 0.8), rng.uniform(0.03, 0.1)
    return dark, bright


def _draw_detail(rng: np.random.Generator) -> Level:
    """Two in three cameras smooth brightness on even parts more than at edges."""
    if rng.random() < 1 / 3:
        return EVEN
    return rng.uniform(0.25, 0.8), rng.uniform(5, 25) / 255, rng.uniform(0.5, 1.5)


def _draw_neutral(rng: np.random.Generator) -> Level:
    """Two in three cameras smooth color more where there is none than in saturated colors."""
    if rng.random() < 1 / 3:
        return EVEN
    return rng.uniform(0.25, 0.8), rng.uniform(30, 90) / 255, rng.uniform(8, 30) / 255


def _draw_smoothing(rng: np.random.Generator) -> tuple[float, float]:
    """Most cameras smooth, color at least as much as brightness."""
    if rng.random() < 0.3:
        return 0.0, 0.0
    luma_px = rng.uniform(0, 1.2)
    return luma_px, luma_px + rng.uniform(0, 3)


def _draw_color(rng: np.random.Generator) -> float:
    """Six in ten as it comes, one in ten gray, as in black-and-white pictures, the rest between."""
    lot = rng.random()
    if lot < 0.1:
        return 0.0
    return rng.uniform(0, 1) if lot < 0.4 else 1.0


def _draw_scale(rng: np.random.Generator) -> float:
    """One in five pictures was made smaller, down to a half, one in five larger, up to twice."""
    lot = rng.random()
    if lot < 0.2:
        return rng.uniform(0.5, 1)
    return rng.uniform(1, 2) if lot < 0.4 else 1.0


_CAMERA_FROM_XYZ = np.array(
    [
        [[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]],
        [[0.4913, -0.0541, -0.0202], [-0.6130, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]],
        [[0.8380, -0.2630, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]],
        [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]],
    ]
)
"""Of the four cameras of the Darmstadt Noise Dataset, as listed by Brooks et al. 2019."""
_XYZ_FROM_RGB = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
"""IEC 61966-2-1, D65."""


def _draw_matrix(rng: np.random.Generator) -> Matrix:
    """Linear sRGB to the colors of a camera between the four; white stays (1, 1, 1)."""
    weights = rng.random(len(_CAMERA_FROM_XYZ))
    matrix = np.tensordot(weights / weights.sum(), _CAMERA_FROM_XYZ, axes=1) @ _XYZ_FROM_RGB
    matrix /= matrix.sum(axis=1, keepdims=True)
    return tuple((float(r), float(g), float(b)) for r, g, b in matrix)
