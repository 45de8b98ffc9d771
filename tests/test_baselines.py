import numpy as np
import pytest

from degrain.bench import learning
from degrain.bench.baselines import bls_gsm, epll, foe, ksvd, learned, patches, wnnm
from degrain.bench.methods import BASELINES, known_sigma, open_method
from degrain.cli import main
from degrain.denoise import Denoiser
from degrain.errors import UsageError
from degrain.metrics import psnr

PACKAGES = {
    "bm3d": ["bm3d"],
    "nlm": ["cv2"],
    "nlm-skimage": ["skimage"],
    "wavelet": ["skimage", "pywt"],
    "tv": ["skimage"],
    "bls-gsm": ["pyrtools"],
    "foe": ["scipy"],
}
"""What each needs; those that are not installed are not tested."""
GRAY_ONLY = ["ksvd", "epll", "wnnm", "bls-gsm", "foe"]


def ready(name):
    for package in PACKAGES.get(name, []):
        pytest.importorskip(package)


def scene(side=64):
    """Edges, a slope and a fine texture."""
    y, x = np.mgrid[:side, :side] / 64
    picture = 0.3 + 0.4 * ((x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.1) + 0.2 * x
    return (picture + 0.05 * np.sin(40 * y) * (x > 0.7)).astype(np.float32)


def with_noise(clean, sigma_255=25, seed=0):
    rng = np.random.default_rng(seed)
    return clean + rng.standard_normal(clean.shape, dtype=np.float32) * np.float32(sigma_255 / 255)


@pytest.mark.parametrize("name", BASELINES)
def test_takes_noise_out_and_gives_the_same_again(name):
    ready(name)
    method = open_method(name, gray=True, threads=1)
    clean = scene(32 if name == "wnnm" else 64)
    noisy = with_noise(clean)
    before = noisy.copy()
    result, known = method.run(noisy, "gaussian:25")
    assert known == "told"
    assert method.name == name
    assert result.shape == clean.shape
    assert result.dtype == np.float32
    assert psnr(clean, result) > psnr(clean, noisy) + 5
    assert np.array_equal(noisy, before)
    assert np.array_equal(result, method.run(noisy, "gaussian:25")[0])


def test_a_level_of_its_own():
    ready("tv")
    noisy = with_noise(scene())
    for spec in ("real", "gaussian:50", "gaussian:25"):
        result, known = open_method("tv@25", gray=True).run(noisy, spec)
        assert known == "told"
        assert np.array_equal(result, open_method("tv", gray=True).run(noisy, "gaussian:25")[0])
    assert open_method("tv@12.5", gray=True).name == "tv@12.5"
    with pytest.raises(UsageError, match="detail:divakar-babu is blind"):
        open_method("detail:divakar-babu@25", gray=True)
    for wrong in ("tv@-1", "tv@nan"):
        with pytest.raises(UsageError, match="from 0 up"):
            open_method(wrong, gray=True)
    with pytest.raises(UsageError, match="tv@home"):
        open_method("tv@home", gray=True)


@pytest.mark.parametrize("name", [name for name in BASELINES if name not in GRAY_ONLY])
def test_color(name):
    ready(name)
    clean = np.stack([scene(), scene().T, 0.5 * scene()], axis=2)
    noisy = with_noise(clean)
    result, _ = open_method(name, gray=False, threads=1).run(noisy, "gaussian:25")
    assert result.shape == clean.shape
    assert psnr(clean, result) > psnr(clean, noisy) + 3


@pytest.mark.parametrize("name", GRAY_ONLY)
def test_color_is_refused(name):
    with pytest.raises(UsageError, match=f"{name} is for gray"):
        open_method(name, gray=False)


@pytest.mark.parametrize("name", GRAY_ONLY)
@pytest.mark.parametrize("shape", [(1, 1), (5, 23)])
def test_small_pictures(name, shape):
    ready(name)
    noisy = with_noise(np.full(shape, 0.5, np.float32))
    result, _ = open_method(name, gray=True).run(noisy, "gaussian:25")
    assert result.shape == shape
    assert np.isfinite(result).all()


def test_color_bm3d_counts_as_slow():
    pytest.importorskip("bm3d")
    assert open_method("bm3d", gray=False).slow
    assert not open_method("bm3d", gray=True).slow


def test_missing_package_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(UsageError, match=r"bm3d .it is free for non-commercial use only"):
        open_method("bm3d", gray=True)


def test_patches_come_back():
    image = np.random.default_rng(0).random((11, 14), dtype=np.float32)
    found = patches.patches_of(image, 4)
    assert found.shape == (8 * 11, 16)
    assert np.array_equal(found[12].reshape(4, 4), image[1:5, 1:5])
    cover = patches.coverage(image.shape, 4)
    assert patches.summed(found, image.shape, 4) == pytest.approx(image * cover, abs=1e-5)


def test_mixture_learns_and_filters():
    """Two kinds of patches, rows and columns, are told apart and filtered each in its way."""
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(800, 8, 1)), 8, axis=2).reshape(-1, 64)
    columns = np.repeat(rng.normal(size=(800, 1, 8)), 8, axis=1).reshape(-1, 64)
    clean = np.concatenate([rows, columns]).astype(np.float32)
    mixture = {k: v.astype(np.float32) for k, v in epll.learn(clean, 2, 12).items()}
    assert mixture["weights"] == pytest.approx([0.5, 0.5], abs=0.05)
    covariances = mixture["factors"] @ mixture["factors"].transpose(0, 2, 1)
    noisy = clean + rng.normal(0, 0.5, clean.shape).astype(np.float32)
    restored = epll.wiener(noisy, mixture["weights"], covariances, 0.25)
    # eight unknowns in 64 numbers: about an eighth of the noise is left
    assert ((restored - clean) ** 2).mean() < 0.25 / 6


def test_factors_are_kept_in_fewer_bits():
    numbers = np.array([[0.0, 1.0, -3.0], [1 / 3, -1e-7 / 3, 1e4 / 3]])
    short = epll.shortened(numbers)
    assert short.dtype == np.float32
    assert short[0] == pytest.approx(numbers[0], abs=0)
    assert short[1] == pytest.approx(numbers[1], rel=2.0**-epll.KEPT_BITS)
    assert np.all(short.view(np.uint32) % 2 ** (24 - epll.KEPT_BITS) == 0)
    assert np.all(short[1] != numbers[1].astype(np.float32))


def test_epll_cleans_the_border_too():
    """Few patches cover the outermost pixels; that must not leave noise in them."""
    flat = np.full((40, 40), 0.5, np.float32)
    noise = with_noise(flat) - flat
    one = {
        "weights": np.ones(1, np.float32),
        "factors": np.float32(1e-3) * np.eye(64, dtype=np.float32)[None],
        "fidelity": np.asarray(1, np.float32),
    }
    left = epll.epll(flat + noise, 25 / 255, one) - flat
    assert left[8:-8, 8:-8].std() < 0.15 * noise.std()
    border = np.ones_like(flat, dtype=bool)
    border[1:-1, 1:-1] = False
    # 0.05 to 0.09; 0.27 and more if patches are weighed by how many cover a pixel
    assert left[border].std() < 0.15 * noise.std()


def test_orthogonal_matching_pursuit_finds_sparse_codes():
    atoms = ksvd.dct_atoms()
    assert atoms.shape == (ksvd.ATOMS - 1, 64)
    assert np.linalg.norm(atoms, axis=1) == pytest.approx(1, abs=1e-5)
    signal = (2 * atoms[3] - 1.5 * atoms[200])[None]
    codes = ksvd._code(signal, atoms, 1e-6)
    assert np.flatnonzero(np.abs(codes[0]) > 1e-3).tolist() == [3, 200]
    assert codes @ atoms == pytest.approx(signal, abs=1e-3)


def test_shrinking_a_group_keeps_what_is_strong():
    rng = np.random.default_rng(0)
    clean = np.outer(rng.normal(size=40), rng.normal(size=36))[None].astype(np.float32)
    noisy = clean + rng.normal(0, 0.3, clean.shape).astype(np.float32)
    restored = wnnm.shrink(noisy, np.array([0.3], np.float32))
    before, after = (
        np.linalg.svd(g[0] - g[0].mean(axis=0), compute_uv=False) for g in (noisy, restored)
    )
    limit = 4 * wnnm.C * 40**0.5 * 0.3**2
    assert after[before**2 < limit] == pytest.approx(0, abs=1e-4)
    assert after[0] == pytest.approx((before[0] + (before[0] ** 2 - limit) ** 0.5) / 2, rel=1e-4)
    assert ((restored - clean) ** 2).mean() < 0.5 * ((noisy - clean) ** 2).mean()


def test_groups_hold_equal_patches():
    """In a picture of period 8 the nearest patches lie at multiples of 8."""
    tile = np.random.default_rng(0).random((8, 8), dtype=np.float32)
    image = np.tile(tile, (5, 5))
    keys = wnnm._key_patches(image.shape, 6)
    groups = wnnm._alike(image, 6, keys, 9)
    y, x = np.divmod(groups, 35)
    assert ((y - keys[:, None] // 35) % 8 == 0).all()
    assert ((x - keys[:, None] % 35) % 8 == 0).all()


def test_pyramid_bands_without_noise_stay(monkeypatch):
    pyrtools = pytest.importorskip("pyrtools")
    clean = scene(48)
    kept = bls_gsm.bls_gsm(clean, 1e-4, pyrtools.pyramids.SteerablePyramidFreq)
    assert kept == pytest.approx(clean, abs=2e-3)


def test_gradient_of_the_energy():
    rng = np.random.default_rng(0)
    model = {"filters": rng.normal(0, 0.1, (25, 24)), "alphas": rng.random(24)}
    x, direction = 5 * rng.normal(size=(2, 9, 8))
    _, slope = foe.energy(x, model)
    ahead, behind = (foe.energy(x + h * direction, model)[0] for h in (1e-4, -1e-4))
    # the filters' answers are in 32 bits
    assert (slope * direction).sum() == pytest.approx((ahead - behind) / 2e-4, rel=0.03)


def test_field_of_experts_learns():
    pytest.importorskip("torch")
    pytest.importorskip("scipy")
    whole = scene(96)
    crops = np.stack([whole[i : i + 24, 2 * i : 2 * i + 24] for i in range(0, 36, 2)])
    model = foe.learn(crops, 15)
    weights = foe.fit_weights(crops[:1], model, (25.0,))
    import scipy.optimize

    clean = whole[:40, :40]
    noisy = with_noise(clean)
    result = foe.most_likely(noisy, 25 / 255, float(weights[0]), model, scipy.optimize)
    assert psnr(clean, result) > psnr(clean, noisy) + 4


def test_own_parameters(tmp_path):
    wrong = tmp_path / "mine.npz"
    with pytest.raises(UsageError, match=r"no parameters of epll.*bench learn epll"):
        open_method(f"epll:{wrong}", gray=True)
    np.savez(wrong, nothing=np.zeros(3))
    with pytest.raises(UsageError, match="no parameters of foe"):
        open_method(f"foe:{wrong}", gray=True)
    wrong.write_bytes(b"no archive")
    with pytest.raises(UsageError, match="no parameters of foe"):
        open_method(f"foe:{wrong}", gray=True)
    arrays, version = learned.load("epll", None, epll.PARAMETERS)
    np.savez(wrong, **arrays)
    mine = open_method(f"epll:{wrong}", gray=True)
    assert mine.name == f"epll:{wrong}"
    assert mine.version != version


def test_python_file_is_a_method(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def denoise(noisy, sigma):\n    return noisy * 0 + sigma\n")
    method = open_method(f"python:{file}", gray=True)
    assert not method.blind
    assert method.run(np.ones((3, 4), np.float32), "gaussian:51")[0] == pytest.approx(0.2)
    file.write_text("BLIND = True\ndef denoise(noisy, sigma):\n    return noisy / 2\n")
    again = open_method(f"python:{file}", gray=True)
    assert again.run(np.ones((3, 4), np.float32), "poisson:30")[1] == "blind"
    assert again.version != method.version
    file.write_text("x = 1\n")
    with pytest.raises(UsageError, match="no function denoise"):
        open_method(f"python:{file}", gray=True)
    file.write_text("1 / 0\n")
    with pytest.raises(UsageError, match="division by zero"):
        open_method(f"python:{file}", gray=True)
    with pytest.raises(UsageError, match="cannot be used"):
        open_method(f"python:{tmp_path / 'nowhere.py'}", gray=True)


def test_which_noise_level_is_known():
    assert known_sigma("gaussian:51") == pytest.approx(0.2)
    assert known_sigma("gaussian:0-51") is None
    assert known_sigma("poisson:30") is None
    assert known_sigma("real") is None


def test_no_noise_is_left_alone():
    noisy = scene(16)
    assert open_method("wnnm", gray=True).run(noisy, "gaussian:0")[0] is noisy


def test_learned_arrays_are_kept_bit_for_bit_in_a_file_that_is_always_the_same(tmp_path):
    arrays = {
        "some": np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32),
        "one": np.asarray(0.3, np.float32),
    }
    paths = tmp_path / "first.npz", tmp_path / "second.npz"
    for path in paths:
        learning.save(arrays, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with np.load(paths[0]) as content:
        assert set(content) == set(arrays)
        for name, array in arrays.items():
            assert np.array_equal(content[name], array)
            assert content[name].dtype == np.float32


@pytest.mark.parametrize("name", learning.LEARNERS)
def test_the_command_learns(name, tmp_path, capsys):
    if name == "foe":
        pytest.importorskip("torch")
        pytest.importorskip("scipy")
    import pyvips

    (tmp_path / "train").mkdir()
    for number in range(3):
        pixels = np.rint(255 * with_noise(scene(64), 2, number)).astype(np.uint8)
        pyvips.Image.new_from_array(pixels).write_to_file(str(tmp_path / f"train/{number}.png"))
    (tmp_path / "train" / "bad.png").write_bytes(b"no picture")
    output = tmp_path / "mine.npz"
    words = ["bench", "learn", name, "--data", str(tmp_path / "train"), "-o", str(output)]
    assert main([*words, "--effort", "0.01"]) == 0
    said = capsys.readouterr()
    assert "left out" in said.err
    assert f"--method {name}:{output}" in said.out
    noisy = with_noise(scene(32))
    result, _ = open_method(f"{name}:{output}", gray=True).run(noisy, "gaussian:25")
    assert psnr(scene(32), result) > psnr(scene(32), noisy) + 1
    before = output.read_bytes()
    assert main([*words, "--effort", "0.01"]) == 0
    assert output.read_bytes() == before


def test_what_cannot_be_learned(tmp_path, capsys):
    words = ["--data", str(tmp_path), "-o", str(tmp_path / "x.npz")]
    assert main(["bench", "learn", "tv", *words]) == 2
    assert "learn epll or foe" in capsys.readouterr().err
    assert main(["bench", "learn", "epll", *words, "--effort", "2"]) == 2
    assert main(["bench", "learn", "epll", *words]) == 2
    assert "no picture" in capsys.readouterr().err


def test_a_color_network_judged_on_gray_sees_the_picture_three_times() -> None:
    noisy = np.random.default_rng(0).normal(0.5, 0.05, (24, 40)).astype(np.float32)
    result, known = open_method("degrain-photo", gray=True, threads=1).run(noisy, "gaussian:12")
    three = np.repeat(noisy[..., np.newaxis], 3, axis=2)
    in_color, _ = open_method("degrain-photo", gray=False, threads=1).run(three, "gaussian:12")
    np.testing.assert_allclose(result, in_color.mean(axis=2), atol=1e-6)
    assert known == "blind"


def test_auto_is_one_network_whatever_the_noise() -> None:
    """A row of the bench is of one network, though "auto" itself looks at gray pictures."""
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.normal(0.5, 0.05, (40, 40)), np.ones((2, 2))).astype(np.float32)
    method, gray = (open_method(name, gray=True, threads=1) for name in ("auto", "degrain-gray"))
    assert (method.name, method.version) == (gray.name, gray.version)
    np.testing.assert_array_equal(method.run(coarse, "real")[0], gray.run(coarse, "real")[0])


def test_a_network_is_told_a_level_as_the_command_tells_it() -> None:
    noisy = with_noise(scene())
    result, known = open_method("degrain-gray@40", gray=True, threads=1).run(noisy, "real")
    assert known == "told"
    expected = Denoiser("degrain-gray", threads=1)(noisy, sigma=40)
    np.testing.assert_allclose(result, expected, atol=1e-6)
