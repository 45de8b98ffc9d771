from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import degrain
from degrain import files
from degrain.cli import main
from degrain.metrics import psnr
from degrain.picture import Picture

ROOT = Path(__file__).parent.parent


def save_model(folder: Path, channels: int, name: str) -> Path:
    """A denoiser for tests: the mean of 3 by 3 pixels of each channel, with its card."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    shape = ["n", channels, "h", "w"]
    kernel = np.full((channels, 1, 3, 3), 1 / 9, np.float32)
    node = helper.make_node(
        "Conv", ["noisy", "kernel"], ["clean"], pads=[1, 1, 1, 1], group=channels
    )
    graph = helper.make_graph(
        [node],
        "mean",
        [helper.make_tensor_value_info("noisy", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("clean", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    opset = [helper.make_opsetid("", 17)]
    data = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    assert onnx.load_from_string(data).graph.name == "mean"
    path = folder / name / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    path.with_name("card.toml").write_text(
        f'name = "{name}"\nsummary = "mean of 3 by 3"\nchannels = {channels}\nhalo = 1\n'
        f'multiple_of = 1\nsha256 = "{hashlib.sha256(data).hexdigest()}"\nlicense = "CC0-1.0"\n'
    )
    return path


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    save_model(folder, 1, "degrain-gray")
    save_model(folder, 3, "degrain-color")
    save_model(folder, 3, "degrain-photo")
    return folder


@pytest.fixture(autouse=True)
def small_models(zoo, monkeypatch):
    monkeypatch.setenv("DEGRAIN_MODELS", str(zoo))


def save(path: Path, *, channels: int = 3, size: tuple[int, int] = (24, 32), seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    pixels = np.clip(rng.normal(120, 25, (*size, channels)), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(Picture(pages=(pixels,)), path)
    return path


def pixels_of(path: Path):
    return files.read(path).pages[0]


def spread(path: Path) -> float:
    """Standard deviation inside; the small models darken the border."""
    return float(pixels_of(path)[1:-1, 1:-1].std())


def run(*words, cwd=None, stdin=b"", **options):
    """The command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "degrain", *map(str, words)],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        timeout=120,
        check=False,
        **options,
    )


def assert_one_sentence(text: str) -> None:
    """Something for people: one line, no traceback."""
    assert text.startswith("degrain: ")
    assert text.count("\n") == 1
    assert "Traceback" not in text
    assert "please report" not in text


# ---- help and usage -------------------------------------------------------------------------


def test_help_is_quick_and_names_all_verbs():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    verbs = b"denoise estimate add-noise compare models train pack export bench info".split()
    assert all(verb in done.stdout for verb in verbs)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds < 0.5  # of the processor: other programs must not make the test fail


def test_help_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from degrain.cli import main\n"
        "try:\n    main(['denoise', '--help'])\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'numpy', 'onnxruntime', 'pyvips', 'torch', 'tqdm'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    [(), ("denois", "a.png"), ("denoise", "a.png", "--stregth", "1"), ("compare",)],
    ids=["no verb", "unknown verb", "unknown option", "missing argument"],
)
def test_wrong_words_end_with_2(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--strength", "1.5"], "strength of 1.5"),
        (["--strength", "-0.1"], "strength of -0.1"),
        (["--strength", "nan"], "strength of nan"),
        (["--model", "degrain-grey"], "degrain-gray"),
        (["--model", "missing.onnx"], "missing.onnx"),
        (["--threads", "0"], "threads"),
        (["--memory-mb", "0"], "0 MB"),
    ],
)
def test_a_request_that_makes_no_sense_ends_with_2(tmp_path, capsys, options, part):
    picture = save(tmp_path / "a.png")
    assert main(["denoise", str(picture), *options]) == 2
    said = capsys.readouterr()
    assert_one_sentence(said.err)
    assert part in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_no_picture_named(capsys):
    assert main(["denoise"]) == 2
    assert_one_sentence(capsys.readouterr().err)


def test_version(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"degrain \S+\n", capsys.readouterr().out)


# ---- denoise --------------------------------------------------------------------------------


def test_denoise_writes_beside_the_input_and_says_one_line(tmp_path):
    picture = save(tmp_path / "photo.png")
    before = picture.read_bytes()
    done = run("denoise", "photo.png", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == b""
    line = r"photo\.png -> \S*photo\.denoised\.png: degrain-photo, noise [\d.]+, [\d.]+ s\n"
    assert re.fullmatch(line, done.stdout.decode())
    assert picture.read_bytes() == before
    assert spread(tmp_path / "photo.denoised.png") < spread(picture) / 2


def test_gray_pictures_take_the_gray_model(tmp_path, capsys):
    picture = save(tmp_path / "scan.png", channels=1)
    assert main(["denoise", str(picture)]) == 0
    assert "degrain-gray" in capsys.readouterr().out


def test_a_model_file(tmp_path, zoo):
    picture = save(tmp_path / "a.png")
    model = str(zoo / "degrain-color" / "model.onnx")
    assert main(["denoise", str(picture), "-o", str(tmp_path / "b.png"), "--model", model]) == 0
    assert (tmp_path / "b.png").exists()


def test_strength_0_changes_nothing(tmp_path):
    picture = save(tmp_path / "a.png")
    assert main(["denoise", str(picture), "-o", str(tmp_path / "b.png"), "--strength", "0"]) == 0
    assert np.array_equal(pixels_of(picture), pixels_of(tmp_path / "b.png"))


def test_a_slash_makes_a_folder(tmp_path):
    picture = save(tmp_path / "a.png")
    assert main(["denoise", str(picture), "-o", f"{tmp_path / 'v1.5'}/"]) == 0
    assert pixels_of(tmp_path / "v1.5" / "a.png").shape == (24, 32, 3)


def test_quiet_says_nothing(tmp_path, capsys):
    picture = save(tmp_path / "a.png")
    assert main(["denoise", str(picture), "--quiet"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_what_exists_is_skipped_until_overwrite(tmp_path, capsys):
    picture = save(tmp_path / "a.png")
    target = tmp_path / "b.png"
    target.write_bytes(b"mine")
    assert main(["denoise", str(picture), "-o", str(target)]) == 0
    assert target.read_bytes() == b"mine"
    assert "skipped" in capsys.readouterr().out
    assert main(["denoise", str(picture), "-o", str(target), "--overwrite"]) == 0
    assert pixels_of(target).shape == (24, 32, 3)


def test_dry_run_writes_nothing(tmp_path, capsys):
    save(tmp_path / "in" / "a.png")
    assert main(["denoise", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--dry-run"]) == 0
    assert "would be denoised" in capsys.readouterr().out
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "a.png"]


def test_folder_keeps_its_tree_and_survives_a_bad_file(tmp_path, capsys):
    save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "bad.png").write_text("no picture")
    save(tmp_path / "in" / "deep" / "er" / "c.tif", channels=1)
    words = ["denoise", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--recursive"]
    assert main(words) == 1
    said = capsys.readouterr()
    assert_one_sentence(said.err)
    assert "bad.png" in said.err
    assert said.out.count("\n") == 2
    made = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    assert made == {"a.png", "deep/er/c.tif"}


def test_json_tells_all(tmp_path, capsys):
    good, bad = save(tmp_path / "a.png"), tmp_path / "b.png"
    bad.touch()
    done = tmp_path / "out" / "c.png"
    save(tmp_path / "c.png")
    save(done)
    inputs = [str(good), str(bad), str(tmp_path / "c.png")]
    assert main(["denoise", *inputs, "-o", str(tmp_path / "out"), "--json"]) == 1
    rows = {Path(row["source"]).name: row for row in map(json.loads, _out(capsys).splitlines())}
    assert {name: row["status"] for name, row in rows.items()} == {
        "a.png": "denoised",
        "b.png": "failed",
        "c.png": "skipped",
    }
    row = rows["a.png"]
    assert Path(row["target"]) == tmp_path / "out" / "a.png"
    assert row["model"] == "degrain-photo"
    assert 10 < row["noise_sigma_255"] < 40
    assert row["seconds"] > 0
    assert row["megapixels"] == pytest.approx(24 * 32 / 1e6)
    assert row["error"] is None
    assert "b.png" in rows["b.png"]["error"]


def _out(capsys) -> str:
    return capsys.readouterr().out


# ---- bad input ------------------------------------------------------------------------------


def _empty(path: Path) -> None:
    path.touch()


def _text(path: Path) -> None:
    path.write_text("I am no picture.\n" * 20)


def _truncated(path: Path) -> None:
    save(path, size=(80, 80))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _not_finite(path: Path) -> None:
    pixels = np.full((8, 8, 1), np.nan, np.float32)
    files.write(Picture(pages=(pixels,)), path)


BAD = {
    "empty.png": _empty,
    "text.png": _text,
    "truncated.png": _truncated,
    "truncated.jpg": _truncated,
    "raw.cr2": _text,
    "nan.tif": _not_finite,
    "missing.png": lambda path: None,
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_picture_is_one_sentence_and_the_rest_goes_on(tmp_path, capsys, name):
    BAD[name](tmp_path / name)
    good = save(tmp_path / "good.png")
    out = tmp_path / "out"
    assert main(["denoise", str(tmp_path / name), str(good), "-o", str(out)]) == 1
    said = capsys.readouterr()
    assert_one_sentence(said.err)
    assert name in said.err
    assert [path.name for path in out.rglob("*")] == ["good.png"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file(tmp_path, capsys):
    picture = save(tmp_path / "a.png")
    picture.chmod(0)
    assert main(["denoise", str(picture)]) == 1
    assert_one_sentence(capsys.readouterr().err)


def test_output_equal_to_input(tmp_path, capsys):
    picture = save(tmp_path / "a.png")
    before = picture.read_bytes()
    assert main(["denoise", str(picture), "-o", str(picture), "--overwrite"]) in (1, 2)
    assert_one_sentence(capsys.readouterr().err)
    assert picture.read_bytes() == before


def test_two_inputs_that_would_share_one_output(tmp_path, capsys):
    one, two = save(tmp_path / "x" / "a.png"), save(tmp_path / "y" / "a.png", seed=1)
    code = main(["denoise", str(one), str(two), "-o", str(tmp_path / "out")])
    assert code in (1, 2)
    assert "a.png" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.denoised.*"))


def test_missing_output_folder(tmp_path, capsys):
    picture = save(tmp_path / "a.png")
    assert main(["denoise", str(picture), "-o", str(tmp_path / "no" / "b.png")]) in (1, 2)
    assert_one_sentence(capsys.readouterr().err)
    assert not (tmp_path / "no").exists()


def test_a_full_disk_leaves_no_debris(tmp_path):
    picture = save(tmp_path / "a.png", size=(100, 100))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = run("denoise", picture, preexec_fn=limit)
    assert done.returncode == 1
    assert_one_sentence(done.stderr.decode())
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("kind", ["corrupt", "text", "empty", "no denoiser"])
def test_a_model_that_cannot_be_used_ends_with_2(tmp_path, capsys, zoo, kind):
    model = tmp_path / "model.onnx"
    data = (zoo / "degrain-color" / "model.onnx").read_bytes()
    content = {"corrupt": data[:50], "text": b"hello", "empty": b"", "no denoiser": _classifier()}
    model.write_bytes(content[kind])
    picture = save(tmp_path / "a.png")
    assert main(["denoise", str(picture), "--model", str(model)]) == 2
    assert_one_sentence(capsys.readouterr().err)
    assert not (tmp_path / "a.denoised.png").exists()


def _classifier() -> bytes:
    """An ONNX file that gives one number per picture."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("GlobalAveragePool", ["noisy"], ["clean"])],
        "pool",
        [helper.make_tensor_value_info("noisy", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("clean", TensorProto.FLOAT, ["n", 3, 1, 1])],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def test_a_damaged_installed_model_ends_with_2(tmp_path, capsys, monkeypatch):
    model = save_model(tmp_path / "models", 3, "degrain-photo")
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    monkeypatch.setenv("DEGRAIN_MODELS", str(tmp_path / "models"))
    picture = save(tmp_path / "a.png")
    assert main(["denoise", str(picture)]) == 2
    assert "SHA-256" in capsys.readouterr().err


def test_a_defect_is_one_sentence_and_the_rest_goes_on(tmp_path, capsys, monkeypatch):
    from degrain.denoise import Denoiser

    one, two = save(tmp_path / "a.png"), save(tmp_path / "b.png", size=(9, 9))
    sound = Denoiser.picture

    def broken(self, picture, **options):
        if picture.pages[0].shape[0] == 24:
            msg = "wires crossed"
            raise RuntimeError(msg)
        return sound(self, picture, **options)

    monkeypatch.setattr(Denoiser, "picture", broken)
    assert main(["denoise", str(one), str(two)]) == 1
    said = capsys.readouterr()
    assert "RuntimeError: wires crossed" in said.err
    assert "please report" in said.err
    assert "Traceback" not in said.err
    assert (tmp_path / "b.denoised.png").exists()
    monkeypatch.setenv("DEGRAIN_DEBUG", "1")
    main(["denoise", str(one)])
    assert "Traceback" in capsys.readouterr().err


# ---- pipes and interruption -----------------------------------------------------------------


def test_pipe_from_end_to_end(tmp_path):
    picture = save(tmp_path / "a.png")
    done = run("denoise", "-", stdin=picture.read_bytes())
    assert done.returncode == 0
    assert done.stdout.startswith(b"\x89PNG")
    assert b"degrain-photo" in done.stderr
    (tmp_path / "b.png").write_bytes(done.stdout)
    assert spread(tmp_path / "b.png") < spread(picture) / 2


def test_pipe_to_a_file_and_from_a_file(tmp_path):
    picture = save(tmp_path / "a.jpg")
    done = run("denoise", "-", "-o", tmp_path / "b.tif", "--quiet", stdin=picture.read_bytes())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert pixels_of(tmp_path / "b.tif").shape == (24, 32, 3)
    done = run("denoise", picture, "-o", "-", "--quiet")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"\xff\xd8")


def test_garbage_in_a_pipe(tmp_path):
    done = run("denoise", "-", stdin=b"no picture")
    assert done.returncode == 1
    assert done.stdout == b""
    assert_one_sentence(done.stderr.decode())


def test_a_pipe_takes_one_picture(tmp_path, capsys):
    assert main(["denoise", "-", str(save(tmp_path / "a.png"))]) == 2
    assert_one_sentence(capsys.readouterr().err)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_ctrl_c_and_the_order_to_end_leave_whole_files_and_no_debris(tmp_path, name, code):
    number = getattr(signal, name)
    for i in range(300):
        save(tmp_path / "in" / f"{i:04}.png")
    out = tmp_path / "out"
    # A shell that starts the tests in the background has them ignore Ctrl-C, and so their children.
    usual = {number: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {each: signal.signal(each, handler) for each, handler in usual.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "degrain", "denoise", str(tmp_path / "in"), "-o", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    for each, handler in before.items():
        signal.signal(each, handler)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code
    if number == signal.SIGINT:
        assert_one_sentence(said.decode())
    else:
        assert said == b"", "who sent it knows"
    made = list(out.iterdir())
    assert 0 < len(made) < 300
    assert all(path.suffix == ".png" and pixels_of(path).shape == (24, 32, 3) for path in made)


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_has_gone_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "degrain", "models"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    "words", [["denoise", "a.png", "-o", "-"], ["denoise", "a.png"], ["models"]]
)
def test_a_full_standard_output_is_one_sentence(tmp_path, words):
    save(tmp_path / "a.png")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "degrain", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert_one_sentence(done.stderr.decode())
    assert "no space left on device" in done.stderr.decode()


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_pipes_in_a_folder_are_not_waited_for(tmp_path, capsys):
    save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    assert main(["denoise", str(tmp_path)]) == 0
    assert "b.png" not in _out(capsys)


def test_what_the_output_cannot_hold_is_found_out_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(degrain.Denoiser, "picture", lambda *_, **__: pytest.fail("worked"))
    deep = Picture((np.zeros((9, 9, 3), np.float32),))
    files.write(deep, tmp_path / "a.tif")
    assert main(["denoise", str(tmp_path / "a.tif"), "-o", str(tmp_path / "b.png")]) == 1
    said = capsys.readouterr().err
    assert_one_sentence(said)
    assert "no floating-point pixels" in said


# ---- the other verbs ------------------------------------------------------------------------


def test_add_noise_is_reproducible_and_estimate_finds_it(tmp_path, capsys):
    pixels = np.full((128, 128, 1), 128, np.uint8)
    files.write(Picture(pages=(pixels,)), tmp_path / "clean.png")
    words = ["add-noise", str(tmp_path / "clean.png"), "--noise", "gaussian:20", "--seed", "7"]
    assert main([*words, "-o", str(tmp_path / "a.png")]) == 0
    assert main([*words, "-o", str(tmp_path / "b.png")]) == 0
    assert np.array_equal(pixels_of(tmp_path / "a.png"), pixels_of(tmp_path / "b.png"))
    capsys.readouterr()
    assert main(["estimate", str(tmp_path / "a.png"), "--json"]) == 0
    row = json.loads(_out(capsys))
    assert row["noise_sigma_255"] == [pytest.approx(20, rel=0.2)]
    assert row["noise_sigma"] == row["noise_sigma_255"]


def test_estimate_tells_coarse_noise_from_white(tmp_path, capsys):
    rng = np.random.default_rng(0)
    white = rng.normal(128, 8, (256, 256, 1))
    coarse = np.kron(rng.normal(128, 8, (128, 128)), np.ones((2, 2)))[..., np.newaxis]
    for name, pixels in (("white", white), ("coarse", coarse)):
        files.write(Picture(pages=(np.rint(pixels).astype(np.uint8),)), tmp_path / f"{name}.png")
    paths = [str(tmp_path / "white.png"), str(tmp_path / "coarse.png")]
    assert main(["estimate", *paths, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["noise_is_white"] for row in rows] == [True, False]
    assert [row["channels_are_independent"] for row in rows] == [None, None]
    assert rows[0]["coarse_noise_sigma_255"] == pytest.approx(8, rel=0.1)
    assert rows[1]["coarse_noise_sigma_255"] == pytest.approx(16, rel=0.1)
    assert main(["estimate", *paths]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("(0..255)")
    assert re.search(r"coarse noise or texture: 1[5-7]\.\d$", second)


def test_estimate_tells_noise_that_channels_share(tmp_path, capsys):
    rng = np.random.default_rng(0)
    own = rng.normal(128, 8, (128, 128, 3))
    pictures = {"own": own, "shared": np.repeat(own[..., :1], 3, axis=2)}
    for name, pixels in pictures.items():
        files.write(Picture(pages=(np.rint(pixels).astype(np.uint8),)), tmp_path / f"{name}.png")
    assert main(["estimate", *(str(tmp_path / f"{n}.png") for n in pictures), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["channels_are_independent"] for row in rows] == [True, False]
    assert all(row["noise_is_white"] for row in rows)


def test_estimate_in_own_units(tmp_path, capsys):
    rng = np.random.default_rng(0)
    pixels = np.clip(rng.normal(30000, 2570, (128, 128, 1)), 0, 65535).astype(np.uint16)
    files.write(Picture(pages=(pixels,)), tmp_path / "a.tif")
    assert main(["estimate", str(tmp_path / "a.tif")]) == 0
    assert re.search(r"gray 2\d\d\d .*0\.\.65535.*gray (9|10|11)\.\d on 0\.\.255", _out(capsys))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"noise": "gausian:25"}, "gaussian"),
        ({"seed": "-1"}, "seed"),
        ({"output": "clean.png"}, "replace"),
        ({"output": "there.png"}, "exists"),
    ],
)
def test_add_noise_refuses(tmp_path, capsys, monkeypatch, change, part):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "clean.png")
    save(tmp_path / "there.png")
    options = {"output": "new.png", "noise": "gaussian:25", "seed": "0", **change}
    words = [f"--{name}={value}" for name, value in options.items()]
    assert main(["add-noise", "clean.png", *words]) == 2
    said = capsys.readouterr().err
    assert_one_sentence(said)
    assert part in said
    assert {path.name for path in tmp_path.iterdir()} == {"clean.png", "there.png"}


def test_compare(tmp_path, capsys):
    clean = save(tmp_path / "clean.png")
    other = save(tmp_path / "other.png", seed=1)
    small = save(tmp_path / "small.png", size=(8, 8))
    words = ["compare", str(clean), str(clean), str(small), str(other), "--json"]
    assert main(words) == 1
    said = capsys.readouterr()
    assert_one_sentence(said.err)
    assert "small.png" in said.err
    same, different = map(json.loads, said.out.splitlines())
    assert same["psnr"] is None
    assert same["ssim"] == pytest.approx(1)
    wanted = psnr(pixels_of(clean), pixels_of(other), data_range=255)
    assert different["psnr"] == pytest.approx(wanted, abs=1e-6)
    assert main(["compare", str(clean), str(other)]) == 0
    assert f"PSNR {wanted:.2f} dB" in _out(capsys)


def test_compare_takes_other_depths_and_tiny_pictures(tmp_path, capsys):
    small = save(tmp_path / "a.png", size=(3, 3))
    deep = (pixels_of(small).astype(np.uint16) * 257).astype(np.uint16)
    files.write(Picture(pages=(deep,)), tmp_path / "b.png")
    assert main(["compare", str(small), str(tmp_path / "b.png")]) == 0
    assert "PSNR inf dB, SSIM none" in _out(capsys)


def test_models(capsys):
    assert main(["models"]) == 0
    assert "degrain-gray" in _out(capsys)
    assert main(["models", "degrain-gray", "--json"]) == 0
    card = json.loads(_out(capsys))
    assert (card["name"], card["halo"], card["channels"]) == ("degrain-gray", 1, 1)
    assert main(["models", "degrain-color"]) == 0
    assert "license: CC0-1.0" in _out(capsys)
    assert main(["models", "degrain-grey"]) == 2
    assert "degrain-gray" in capsys.readouterr().err


def test_a_damaged_card_does_not_hide_the_other_models(tmp_path, capsys, monkeypatch):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "card.toml").write_text("name = ")
    monkeypatch.setenv("DEGRAIN_MODELS", str(tmp_path))
    assert main(["models"]) == 1
    said = capsys.readouterr()
    assert "degrain-photo" in said.out
    assert_one_sentence(said.err)
    assert "broken" in said.err


def test_export_makes_onnx_files_only(tmp_path, capsys):
    picture = save(tmp_path / "a.png")
    assert main(["export", str(tmp_path), "-o", str(picture)]) == 2
    assert_one_sentence(capsys.readouterr().err)
    assert pixels_of(picture).shape == (24, 32, 3)


def test_info(capsys):
    assert main(["info", "--json"]) == 0
    facts = json.loads(_out(capsys))
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["threads"] >= 1
    assert "CPUExecutionProvider" in facts["providers"]
    assert re.match(r"8\.\d+", facts["libvips"])
    assert any("degrain-gray" in model for model in facts["models"])


@pytest.mark.parametrize(
    "words",
    [
        ["train", "tiny-gray", "--data", "clean", "-o", "run"],
        ["export", "run", "-o", "model.onnx"],
        ["pack", "clean", "-o", "pack.npz"],
    ],
)
def test_a_missing_extra_is_named(words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    if "degrain.train" in sys.modules:
        # Importing it anew sets this attribute, which must not outlive the test.
        monkeypatch.setattr(degrain, "train", sys.modules["degrain.train"], raising=False)
    for name in [name for name in sys.modules if name.startswith("degrain.train")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("torch", "onnx"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert_one_sentence(said)
    assert 'pip install "degrain[train]"' in said


def test_bench_and_its_report(tmp_path, capsys):
    save(tmp_path / "data" / "a.png")
    results = str(tmp_path / "results")
    words = ["bench", "color", "--data", str(tmp_path / "data"), "-o", results]
    assert main([*words, "--noise", "gaussian:25", "--method", "noisy", "auto"]) == 0
    first = _out(capsys)
    assert "degrain-photo" in first
    assert main(["bench", "report", results]) == 0
    assert _out(capsys) == first
    assert main(["bench", "gay", "--data", str(tmp_path / "data"), "-o", results]) == 2
    assert_one_sentence(capsys.readouterr().err)


def test_bench_says_which_method_failed(tmp_path, capsys):
    save(tmp_path / "data" / "a.png", channels=1)
    results = tmp_path / "results"
    words = ["bench", "color", "--data", str(tmp_path / "data"), "-o", str(results)]
    assert main([*words, "--method", "noisy", "--noise", "gaussian:25"]) == 1


# ---- what the README promises ---------------------------------------------------------------


def test_the_example_gets_better(tmp_path, monkeypatch):
    monkeypatch.delenv("DEGRAIN_MODELS")
    examples, target = ROOT / "examples", tmp_path / "clean.png"
    assert main(["denoise", str(examples / "butterfly-noisy.png"), "-o", str(target)]) == 0
    clean, noisy = (pixels_of(examples / f"butterfly{end}") for end in (".jpg", "-noisy.png"))
    before, after = (psnr(clean, other, data_range=255) for other in (noisy, pixels_of(target)))
    assert after > before + 6


def test_the_example_is_made_as_its_readme_says(tmp_path):
    examples, target = ROOT / "examples", tmp_path / "noisy.png"
    words = ["--noise", "gaussian:25", "--seed", "0", "-o", str(target)]
    assert main(["add-noise", str(examples / "butterfly.jpg"), *words]) == 0
    # JPEG decoders may differ by a unit or two
    difference = pixels_of(target).astype(int) - pixels_of(examples / "butterfly-noisy.png")
    assert np.abs(difference).max() <= 3
