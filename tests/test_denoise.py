"""Same in, same out; any thread; any budget; one clear sentence for what cannot be done."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

import degrain
from degrain.denoise import Denoiser
from degrain.engines.onnx import OnnxEngine
from degrain.errors import ModelError, PictureError, UsageError
from degrain.picture import Picture
from degrain.zoo.card import ModelCard
from degrain.zoo.store import load_model

DTYPES = ["uint8", "uint16", "float16", "float32", "float64", ">u2", ">f4"]
SHAPES = [(37, 41), (37, 41, 1), (37, 41, 2), (37, 41, 3), (37, 41, 4), (1, 1), (7, 3), (1, 500, 3)]

pytestmark = pytest.mark.usefixtures("tiny_zoo")


def sample(shape, dtype="float32", seed=0):
    x = np.random.default_rng(seed).random(shape)
    dtype = np.dtype(dtype)
    return (x if dtype.kind == "f" else x * np.iinfo(dtype).max).astype(dtype)


def direct(name, x_hwc):
    """What the network gives for float32 H×W×C pixels as a whole."""
    engine = OnnxEngine(load_model(name).path, threads=1)
    x = np.ascontiguousarray(x_hwc.transpose(2, 0, 1)[None], dtype=np.float32)
    return engine.run(x)[0].transpose(1, 2, 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_same_in_same_out(shape, dtype):
    image = sample(shape, dtype)
    before = image.copy()
    clean = Denoiser(threads=1)(image)
    assert type(clean) is np.ndarray
    assert clean.shape == image.shape
    assert clean.dtype == image.dtype
    assert not np.shares_memory(clean, image)
    np.testing.assert_array_equal(image, before)
    if len(shape) == 3 and shape[2] in (2, 4):
        np.testing.assert_array_equal(clean[..., -1], image[..., -1])
        assert (clean[..., :-1] != image[..., :-1]).any()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_integers_are_scaled_rounded_and_clipped_once(dtype):
    image = sample((40, 50, 3), dtype)
    white = np.iinfo(dtype).max
    answer = direct("degrain-color", image.astype(np.float32) / np.float32(white)) * white
    assert answer.min() < 0
    assert answer.max() > white
    clean = Denoiser(threads=1)(image)
    assert np.abs(clean - np.clip(answer, 0, white)).max() < 0.51


def test_floats_are_neither_clipped_nor_rescaled():
    image = sample((40, 50)) * 4 - 2
    clean = Denoiser(threads=1)(image)
    np.testing.assert_allclose(clean, direct("degrain-gray", image[..., None])[..., 0], atol=1e-5)
    assert clean.max() > 1.5


def test_memory_budget_does_not_change_the_result():
    image = sample((500, 610, 3))
    whole = Denoiser(threads=1)(image)
    # 10 MB less the 3.7 of the result are left: 25,000 pixels of 248 bytes a tile.
    steps = []
    tiled = Denoiser(threads=1, memory_mb=160)(image, on_progress=steps.append)
    assert len(steps) > 10
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=2e-6)


def test_too_small_a_budget_is_refused():
    with pytest.raises(UsageError, match=r"151 MB is too small for degrain-gray.*give \d+ or more"):
        Denoiser(memory_mb=151)(sample((2000, 2000)))


@pytest.mark.parametrize("shape", [(30, 40), (700, 900, 3), (5000, 4000)])
def test_the_budget_that_is_asked_for_suffices_and_no_smaller_one(shape):
    def worked(memory_mb):
        Denoiser(threads=1, memory_mb=memory_mb)._formation(page, card)

    page = np.zeros((*shape[:2], (*shape, 1)[2]), np.uint8)
    card = Denoiser().card(page.shape[2])
    for start in (1, 100, 150):
        with pytest.raises(UsageError, match="too small") as caught:
            worked(start)
        needed = int(re.search(r"give (\d+) or more", str(caught.value))[1])
        worked(needed)
        with pytest.raises(UsageError, match="too small"):
            worked(needed - 1)


def test_progress_rises_to_one():
    steps = []
    picture = Picture(pages=(sample((200, 300, 1)), sample((200, 300, 1))))
    Denoiser(threads=1, memory_mb=155).picture(picture, on_progress=steps.append)
    assert len(steps) >= 4
    assert all(a < b for a, b in pairwise(steps))
    assert steps[-1] == 1.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_strength_zero_is_an_exact_copy_without_a_model(dtype):
    image = sample((20, 30, 4), dtype)
    steps = []
    clean = Denoiser("no-such-model")(image, strength=0, on_progress=steps.append)
    assert clean.dtype == image.dtype
    assert not np.shares_memory(clean, image)
    np.testing.assert_array_equal(clean, image)
    assert steps == [1.0]


def test_8_bits_are_for_floats_of_their_range(monkeypatch):
    monkeypatch.setattr("degrain.engines.precision.has_byte_products", lambda: True)
    denoiser = Denoiser("degrain-gray-fast", precision="int8", threads=1)
    picture = np.random.default_rng(0).random((40, 40), np.float32)
    assert denoiser(picture).dtype == np.float32
    for factor in (1000, 0.001):
        with pytest.raises(UsageError, match="8 bits are for pictures of 0 to 1"):
            denoiser(picture * np.float32(factor))


def test_only_what_works_is_opened(monkeypatch):
    monkeypatch.setattr("degrain.engines.precision.has_byte_products", lambda: True)
    opened = []

    class Spy(OnnxEngine):
        def __init__(self, path, **options):
            opened.append(path.name)
            super().__init__(path, **options)

    monkeypatch.setattr("degrain.engines.onnx.OnnxEngine", Spy)
    denoiser = Denoiser("degrain-gray-fast", precision="int8", threads=1)
    denoiser(sample((40, 40)), strength=0)
    assert denoiser.card(1).name == "degrain-gray-fast"
    assert opened == []
    denoiser(sample((40, 40)))
    denoiser(sample((40, 40)))
    assert opened == ["model.int8.onnx"]


def test_strength_mixes():
    image = sample((20, 30))
    denoiser = Denoiser(threads=1)
    full, part = denoiser(image), denoiser(image, strength=0.25)
    np.testing.assert_allclose(part, image + 0.25 * (full - image), atol=1e-6)
    assert np.abs(full - image).max() > 0.05


@pytest.mark.parametrize("strength", [1.5, -0.1, float("nan")])
def test_impossible_strengths(strength):
    with pytest.raises(UsageError, match="strength"):
        Denoiser()(sample((4, 4)), strength=strength)


def test_non_contiguous_input():
    image = sample((80, 90, 3), "uint8")[::-2, 5:75:2]
    denoiser = Denoiser(threads=1)
    np.testing.assert_array_equal(denoiser(image), denoiser(image.copy()))


def test_grey_model_on_color_takes_each_channel_alone():
    image = sample((30, 40, 3))
    clean = Denoiser("degrain-gray", threads=1)(image)
    for c in range(3):
        expected = direct("degrain-gray", image[..., [c]])[..., 0]
        np.testing.assert_allclose(clean[..., c], expected, atol=2e-6)


def test_color_model_on_grey_averages():
    image = sample((30, 40))
    clean = Denoiser("degrain-color", threads=1)(image)
    expected = direct("degrain-color", np.repeat(image[..., None], 3, axis=2)).mean(axis=2)
    np.testing.assert_allclose(clean, expected, atol=2e-6)


def test_auto_and_fast_go_by_channels(make_model):
    denoiser = Denoiser()
    assert denoiser.model_name(1) == "degrain-gray"
    assert denoiser.model_name(3) == "degrain-photo"
    fast = Denoiser("fast")
    assert fast.model_name(1) == "degrain-gray-fast"
    assert fast.model_name(3) == "degrain-photo-fast"
    card = make_model("my-own", channels=3)
    assert Denoiser(card.path).model_name(1) == "my-own"


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "F"])
def test_pil_in_pil_out(mode):
    channels = {"LA": 2, "RGB": 3, "RGBA": 4}.get(mode)
    dtype = {"I;16": "uint16", "F": "float32"}.get(mode, "uint8")
    image = Image.fromarray(sample((20, 30, channels) if channels else (20, 30), dtype))
    image.info["icc_profile"] = b"profile"
    assert image.mode == mode
    clean = Denoiser(threads=1)(image)
    assert isinstance(clean, Image.Image)
    assert (clean.mode, clean.size, clean.info) == (mode, image.size, image.info)
    expected = Denoiser(threads=1)(np.asarray(image))
    np.testing.assert_array_equal(np.asarray(clean), expected)


@pytest.mark.parametrize("mode", ["P", "1", "La", "CMYK", "I", "I;16B"])
def test_other_pil_modes_say_what_to_do_and_that_works(mode):
    image = Image.new(mode, (4, 4), 1)
    with pytest.raises(PictureError, match=f"mode {mode} are not supported; give this") as caught:
        Denoiser()(image)
    advice = str(caught.value).removesuffix(".").split(" as ")[1]
    followed = eval(advice, {"image": image, "numpy": np})
    assert np.shape(Denoiser(threads=1)(followed))[:2] == (4, 4)


@pytest.mark.parametrize(("mode", "wanted"), [("L", "LA"), ("RGB", "RGBA")])
def test_a_color_that_means_transparent_is_not_lost(mode, wanted):
    image = Image.new(mode, (4, 4), 3)
    image.info["transparency"] = 3 if mode == "L" else (3, 0, 0)
    with pytest.raises(PictureError, match=f"give this one as image.convert.'{wanted}'"):
        Denoiser()(image)


class Stubborn(np.ndarray):
    """Has two axes whatever is done to it, as numpy.matrix."""

    def __getitem__(self, index):
        found = super().__getitem__(index)
        return found[..., 0] if getattr(found, "ndim", 0) == 3 else found


def test_arrays_of_other_classes():
    plain = sample((20, 30))
    expected = Denoiser(threads=1)(plain)
    np.testing.assert_array_equal(Denoiser(threads=1)(plain.view(Stubborn)), expected)
    np.testing.assert_array_equal(Denoiser(threads=1)(np.ma.masked_array(plain)), expected)
    with pytest.raises(PictureError, match="masked array has pixels without a value"):
        Denoiser()(np.ma.masked_greater(plain, 0.5))


def test_the_advice_for_deep_pil_images_keeps_their_values():
    deep = Image.fromarray(np.array([[0, 300, 65535]], np.int32))
    with pytest.raises(PictureError, match=r'asarray\(image\)\.astype\("uint16"\)'):
        Denoiser()(deep)
    assert np.asarray(deep).astype("uint16").tolist() == [[0, 300, 65535]]


@pytest.mark.parametrize(
    ("image", "match"),
    [
        (np.zeros((4, 4, 5)), "no picture"),
        (np.zeros((4, 4, 0)), "no picture"),
        (np.zeros(4), "no picture"),
        (np.zeros((1, 4, 4, 3)), "no picture"),
        (np.zeros((0, 4)), "no pixels"),
        (np.zeros((4, 4), complex), "not supported"),
        (np.zeros((4, 4), object), "not supported"),
        (np.zeros((4, 4), bool), "not supported"),
        (np.zeros((4, 4), np.int32), "not supported"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.full((4, 4, 3), -np.inf, np.float32), "infinity"),
        (np.full((4, 4), 1e300), "beyond 1e[+]15"),
        ([[0.5, 0.5]], "numpy array"),
        (None, "numpy array"),
    ],
)
def test_what_is_no_picture(image, match):
    with pytest.raises(PictureError, match=match) as caught:
        Denoiser()(image)
    assert "\n" not in str(caught.value)


def test_impossible_settings():
    with pytest.raises(UsageError, match="0 threads"):
        Denoiser(threads=0)
    with pytest.raises(UsageError, match="memory"):
        Denoiser(memory_mb=0)


def test_unknown_model_names_the_nearest():
    with pytest.raises(UsageError, match="degrain-gray"):
        Denoiser("degrain-grey")(sample((4, 4)))


def test_several_threads_share_a_denoiser(monkeypatch):
    loads = []
    real = OnnxEngine.__init__

    def counted(self, *args, **kwargs):
        loads.append(threading.get_ident())
        real(self, *args, **kwargs)

    monkeypatch.setattr(OnnxEngine, "__init__", counted)
    denoiser = Denoiser(threads=1)
    images = [sample((60, 50 + seed), seed=seed) for seed in range(12)]
    with ThreadPoolExecutor(6) as pool:
        cleans = list(pool.map(denoiser, images))
    assert len(loads) == 1
    for image, clean in zip(images, cleans, strict=True):
        expected = direct("degrain-gray", image[..., None])[..., 0]
        np.testing.assert_allclose(clean, expected, atol=2e-6)


class BrokenEngine:
    channels, needs_sigma = 1, False

    def run(self, x_nchw, sigma=None):
        return np.full_like(x_nchw, np.nan)


CARD = ModelCard("broken", "gives NaN", 1, 0, 1, "", "none")


def test_a_model_that_gives_nan_is_an_error():
    with pytest.raises(ModelError, match="NaN"):
        Denoiser.from_engine(CARD, BrokenEngine())(sample((4, 4), "uint8"))


def test_engine_and_card_must_agree():
    card = ModelCard("wrong", "says color", 3, 0, 1, "", "none")
    with pytest.raises(ModelError, match="3 channels"):
        Denoiser.from_engine(card, BrokenEngine())


def test_picture_keeps_alpha_and_metadata():
    pages = (sample((20, 30, 3), "uint16", 1), sample((20, 30, 3), "uint16", 2))
    alphas = (sample((20, 30, 1), "uint16", 3), sample((20, 30, 1), "uint16", 4))
    picture = Picture(pages, alphas, {"icc-profile-data": b"x"}, {"format": "tiff"})
    clean = Denoiser(threads=1).picture(picture)
    assert clean.alphas is alphas
    assert (clean.metadata, clean.origin) == (picture.metadata, picture.origin)
    for page, out in zip(pages, clean.pages, strict=True):
        np.testing.assert_array_equal(out, Denoiser(threads=1)(page))


def test_paths_and_files(tmp_path):
    image = sample((20, 30, 4), "uint8")
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    Image.fromarray(image).save(source)
    denoiser = Denoiser(threads=1)
    expected = denoiser(image)
    np.testing.assert_array_equal(denoiser(source), expected)
    steps = []
    written = denoiser.file(source, str(target), on_progress=steps.append)
    assert steps == [1.0]
    np.testing.assert_array_equal(written.pages[0], expected[..., :3])
    np.testing.assert_array_equal(np.asarray(Image.open(target)), expected)
    with pytest.raises(UsageError, match="exists"):
        denoiser.file(source, target)
    denoiser.file(source, target, strength=0, overwrite=True)
    np.testing.assert_array_equal(np.asarray(Image.open(target)), image)


def test_the_module_function():
    image = sample((20, 30), "uint8")
    expected = Denoiser("plain-gray", threads=1)(image, strength=0.5)
    clean = degrain.denoise(image, model="plain-gray", strength=0.5, threads=1)
    np.testing.assert_array_equal(clean, expected)
