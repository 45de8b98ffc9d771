"""Data sets by name, real pairs, crops, noise other than Gaussian."""

import numpy as np
import pytest

from degrain.bench.datasets import DATA_SETS, title_of
from degrain.bench.rows import read_rows
from degrain.bench.run import run_suite
from degrain.bench.suites import PRESETS, make_suite, named_suite
from degrain.errors import PictureError, UsageError
from pictures import write_random


def test_named_data_sets_are_found_below_the_folder(tmp_path):
    val = tmp_path / "sets" / "BSDS500" / "data" / "images" / "val"
    write_random(val, ["1", "2", "3"])
    write_random(tmp_path / "sets" / "Set12", ["01"])
    whole = named_suite("berkeley100", tmp_path)
    assert whole.root == val
    assert len(whole.names) == 3
    assert whole.gray
    assert not named_suite("berkeley100-color", tmp_path).gray
    assert named_suite("set12", tmp_path / "sets" / "Set12").names == ("01.png",)
    with pytest.raises(UsageError, match="no list of its pictures"):
        named_suite("bsd68", tmp_path)
    (tmp_path / "my_bsd68_ids.txt").write_text("# 2 of 3\n1\n3\n")
    assert named_suite("bsd68", tmp_path).names == ("1.png", "3.png")
    with pytest.raises(UsageError, match="Kodak24 is not below"):
        named_suite("kodak24", tmp_path)
    assert "set12-color" not in PRESETS


def test_known_content_has_a_title():
    (known,) = DATA_SETS["bsd68"].hashes
    assert title_of(known, gray=True) == "BSD68"
    assert title_of(known, gray=False) == "CBSD68"
    assert title_of("000000000000", gray=True) is None


def test_same_pictures_same_noise_whatever_the_suite_is_called(tmp_path):
    write_random(tmp_path / "set12", ["01", "02"])
    named = named_suite("set12", tmp_path)
    plain = make_suite(tmp_path / "set12", gray=True)
    assert named.rules == plain.rules
    clean = named.clean("02.png")
    first, second = (suite.noisy(clean, "02.png", "gaussian:15") for suite in (named, plain))
    assert np.array_equal(first, second)


def test_quick_takes_the_middles(tmp_path):
    write_random(tmp_path, "0123456", shape=(300, 300, 3))
    suite = named_suite("color", tmp_path, quick=True)
    assert len(suite.names) == 5
    assert suite.noise == ("gaussian:25",)
    assert suite.clean("0.png").shape == (256, 256, 3)
    assert "central 256×256" in suite.rules
    whole = named_suite("color", tmp_path).clean("0.png")
    assert np.array_equal(suite.clean("0.png"), whole[22:278, 22:278])
    assert named_suite("color", tmp_path, quick=True, limit=2, noise=["jpeg:40"]).noise == (
        "jpeg:40",
    )


def test_photons(tmp_path):
    write_random(tmp_path / "data", ["a"])
    suite = named_suite("photons", tmp_path / "data")
    assert any(spec.startswith("poisson:") for spec in suite.noise)
    assert any(spec.startswith("poisson-gaussian:") for spec in suite.noise)
    file = tmp_path / "r.jsonl"
    told = tmp_path / "told.py"
    told.write_text("def denoise(noisy, sigma):\n    return noisy - sigma\n")
    assert run_suite(suite, ["noisy", f"python:{told}"], file, quiet=True) == 0
    assert {row["sigma"] for row in read_rows(file)} == {"blind", "estimated"}


def test_real_pairs(tmp_path):
    write_random(tmp_path / "clean", ["a", "b"], seed=0)
    write_random(tmp_path / "noisy", ["a", "b"], seed=1)
    suite = named_suite("color", tmp_path / "clean", noisy=tmp_path / "noisy")
    assert suite.noise == ("real",)
    assert suite.rules.startswith("RGB; real noisy pictures, data ")
    clean = suite.clean("a.png")
    other = make_suite(tmp_path / "noisy", gray=False).clean("a.png")
    assert np.array_equal(suite.noisy(clean, "a.png", "real"), other)
    file = tmp_path / "r.jsonl"
    assert run_suite(suite, ["noisy"], file, quiet=True) == 0
    write_random(tmp_path / "noisy", ["a"], seed=2)
    assert named_suite("color", tmp_path / "clean", noisy=tmp_path / "noisy").rules != suite.rules


def test_pairs_that_do_not_match(tmp_path, capsys):
    write_random(tmp_path / "clean", ["a", "b"])
    write_random(tmp_path / "noisy", ["a"])
    with pytest.raises(UsageError, match=r"do not match: 1 pictures of .*clean.*b\.png"):
        make_suite(tmp_path / "clean", gray=False, noisy=tmp_path / "noisy")
    write_random(tmp_path / "noisy", ["b", "c"], shape=(30, 30, 3))
    with pytest.raises(UsageError, match=r"1 pictures of .*noisy.*c\.png"):
        make_suite(tmp_path / "clean", gray=False, noisy=tmp_path / "noisy")
    (tmp_path / "noisy" / "c.png").unlink()
    suite = make_suite(tmp_path / "clean", gray=False, noisy=tmp_path / "noisy")
    with pytest.raises(PictureError, match="30×30 pixels, but the clean picture has 24×24"):
        suite.noisy(suite.clean("b.png"), "b.png", "real")
    assert run_suite(suite, ["noisy"], tmp_path / "r.jsonl", quiet=True) == 1
    assert "noisy failed on b.png" in capsys.readouterr().err
    with pytest.raises(UsageError, match="no folder"):
        make_suite(tmp_path / "clean", gray=False, noisy=tmp_path / "nowhere")


def test_empty_folder(tmp_path):
    with pytest.raises(UsageError, match="no picture to judge"):
        make_suite(tmp_path, gray=True)
