"""Runs that spread over processes, are cut short, or fail."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from degrain.bench import provenance
from degrain.bench.crops import SHOWN, SIDE, busiest_window
from degrain.bench.rows import FORMAT, KEY, latest_rows, read_rows, results_file
from degrain.bench.run import run_suite
from degrain.bench.suites import make_suite
from degrain.cli import main
from degrain.errors import UsageError
from pictures import vips_image, write_random


@pytest.fixture
def folder(tmp_path):
    return write_random(tmp_path / "clean", "abcd", shape=(24, 32))


def suite_of(folder, **wishes):
    return make_suite(folder, **{"noise": ["gaussian:25"], "gray": True, **wishes})


def method_file(tmp_path, code):
    file = tmp_path / "method.py"
    file.write_text(code)
    return f"python:{file}"


HALF = "def denoise(noisy, sigma):\n    return noisy / 2\n"
KILLER = """
import os, signal
def denoise(noisy, sigma):
    if abs(float(noisy[0, 0]) - {value!r}) < 1e-6:
        os.kill(os.getpid(), signal.SIGKILL)
    return noisy
"""


def test_processes_give_the_same_rows(folder, tmp_path):
    wanted = ["noisy", method_file(tmp_path, HALF)]
    suite = suite_of(folder)
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    assert run_suite(suite, wanted, one, quiet=True) == 0
    before = os.environ.get("OMP_NUM_THREADS")
    assert run_suite(suite, wanted, two, quiet=True, processes=2) == 0
    assert os.environ.get("OMP_NUM_THREADS") == before

    def quality(file):
        return {(r["method"], r["picture"]): (r["psnr"], r["ssim"]) for r in read_rows(file)}

    assert len(quality(one)) == 8
    assert quality(one) == quality(two)
    assert {row["threads"] for row in read_rows(two)} == {max(1, len(os.sched_getaffinity(0)) // 2)}


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_a_process_that_dies_costs_one_row(folder, tmp_path, capsys):
    suite = suite_of(folder)
    noisy = suite.noisy(suite.clean("b.png"), "b.png", "gaussian:25")
    killer = method_file(tmp_path, KILLER.format(value=float(noisy[0, 0])))
    file = tmp_path / "results.jsonl"
    assert run_suite(suite, ["noisy", killer], file, quiet=True, processes=2) == 1
    rows = read_rows(file)
    assert len(rows) == 8
    (failed,) = (row for row in rows if row["status"] == "failed")
    assert (failed["method"], failed["picture"]) == (killer, "b.png")
    assert "died" in failed["problem"]
    assert "failed on b.png" in capsys.readouterr().err


def test_failed_and_unreadable_are_said_at_once(folder, tmp_path, capsys):
    (folder / "c.png").write_bytes(b"no picture")
    crash = "def denoise(noisy, sigma):\n    raise RuntimeError('too dark')\n"
    wanted = ["noisy", method_file(tmp_path, crash)]
    file = tmp_path / "r.jsonl"
    assert run_suite(suite_of(folder), wanted, file, quiet=True) == 5
    said = capsys.readouterr().err
    assert "failed on a.png (gaussian:25): RuntimeError: too dark" in said
    assert "noisy failed on c.png" in said
    assert "no picture that degrain knows" in said


def test_slow_methods_get_a_seeded_subset(folder, tmp_path):
    slow = method_file(tmp_path, "SLOW = True\n" + HALF)
    file = tmp_path / "r.jsonl"
    suite = suite_of(folder)
    run_suite(suite, ["noisy", slow], file, quiet=True, slow_pictures=2)
    mine = {row["picture"] for row in read_rows(file) if row["method"] == slow}
    assert mine == set(suite.ranked()[:2])
    (folder / suite.ranked()[3]).unlink()
    assert suite_of(folder).ranked()[:2] == suite.ranked()[:2]
    run_suite(suite, [slow], file, quiet=True, slow_pictures=None)
    assert len([row for row in read_rows(file) if row["method"] == slow]) == 4


def test_rows_say_where_they_come_from(folder, tmp_path):
    file = tmp_path / "r.jsonl"
    run_suite(suite_of(folder), ["noisy"], file, quiet=True)
    row = read_rows(file)[0]
    assert row["format"] == FORMAT
    assert row["machine"].endswith("cores")
    assert row["commit"] == provenance.commit()
    if row["peak_mb"] is not None:
        assert 10 < row["peak_mb"] < 100_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_peak_memory_is_that_of_the_work():
    code = (
        "from degrain.bench.provenance import forget_peak, peak_mb\n"
        "before = bytearray(80_000_000); before[:] = b'x' * 80_000_000; del before\n"
        "print(forget_peak()); low = peak_mb()\n"
        "work = bytearray(b'x' * 40_000_000); print(peak_mb() - low)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    counted, grown = done.stdout.split()
    if counted == "False":
        pytest.skip("this system does not let a process count its peak anew")
    assert 35 < float(grown) < 100


def test_no_git_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() == ""


def test_files_that_hold_something_else(tmp_path, folder):
    file = tmp_path / "r.jsonl"
    file.write_text('{"name": "something else"}\n')
    with pytest.raises(UsageError, match="no results file"):
        run_suite(suite_of(folder), ["noisy"], file, quiet=True)
    assert file.read_text() == '{"name": "something else"}\n'
    file.write_text("some\nnotes\n")
    with pytest.raises(UsageError, match="no results file"):
        read_rows(file)
    file.unlink()
    run_suite(suite_of(folder), ["noisy"], file, quiet=True)
    later = {**read_rows(file)[0], "format": FORMAT + 1}
    file.write_text(json.dumps(later) + "\n")
    with pytest.raises(UsageError, match=r"later version of degrain.*update"):
        read_rows(file)
    del later["format"]  # as the first version wrote them
    file.write_text(json.dumps(later) + "\n")
    assert read_rows(file) == [later]


def test_the_last_row_of_a_measurement_counts(tmp_path, folder):
    file = tmp_path / "r.jsonl"
    run_suite(suite_of(folder, limit=1), ["noisy"], file, quiet=True)
    again = {**read_rows(file)[0], "psnr": 1.0}
    file.write_text(file.read_text() + json.dumps(again) + "\n")
    assert [row["psnr"] for row in latest_rows(file)] == [1.0]


def test_crops_show_the_busiest_window(tmp_path):
    import pyvips

    data = tmp_path / "clean"
    data.mkdir()
    pixels = np.full((160, 200), 90, np.uint8)
    pixels[48:144, 64:160] += np.random.default_rng(0).integers(0, 90, (96, 96), dtype=np.uint8)
    for name in "abc":
        vips_image(pixels).write_to_file(str(data / f"{name}.png"))
    suite = suite_of(data)
    assert busiest_window(suite.clean("a.png")) == (slice(48, 144), slice(64, 160))
    assert busiest_window(np.zeros((5, 120, 3), np.float32)) == (slice(0, 5), slice(0, SIDE))
    file = tmp_path / "r.jsonl"
    run_suite(suite, ["noisy"], file, quiet=True, crops=True)
    named = {row["picture"]: row["crop"] for row in read_rows(file) if "crop" in row}
    assert set(named) == set(suite.ranked()[:SHOWN])
    crop = pyvips.Image.new_from_file(str(tmp_path / "r.crops" / named[suite.ranked()[0]]))
    noisy = suite.noisy(suite.clean("a.png"), suite.ranked()[0], "gaussian:25")[48:144, 64:160]
    expected = np.rint(np.clip(noisy, 0, 1) * 255)
    assert np.array_equal(crop.numpy().reshape(96, 96), expected)


def test_a_method_that_works_in_place_spoils_no_other(folder, tmp_path):
    code = "def denoise(noisy, sigma):\n    noisy *= 0\n    return noisy\n"
    spoiler = method_file(tmp_path, code)
    suite = suite_of(folder)
    run_suite(suite, [spoiler, "noisy"], tmp_path / "both", quiet=True)
    run_suite(suite, ["noisy"], tmp_path / "alone", quiet=True)
    both, alone = (
        [
            row["psnr"]
            for row in read_rows(results_file(tmp_path / name))
            if row["method"] == "noisy"
        ]
        for name in ("both", "alone")
    )
    assert both == alone


def test_names_may_hold_what_ends_lines(tmp_path):
    row = dict.fromkeys(KEY, "a\u2028b") | {"status": "ok"}
    file = tmp_path / "results.jsonl"
    file.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_rows(file) == [row]


def test_costs_are_replaced_only_by_costs(tmp_path, capsys):
    kept = tmp_path / "cost.json"
    kept.write_text('{"precious": 1}')
    assert main(["bench", "cost", "-o", str(kept), "--method", "no-such"]) == 2
    assert kept.read_text() == '{"precious": 1}'
    assert main(["bench", "cost", "-o", str(tmp_path / "new.json"), "--method", "no-such"]) == 2
    assert not (tmp_path / "new.json").exists()
    capsys.readouterr()


@pytest.mark.parametrize("words", ["--limit -10", "--processes 0", "--slow-pictures -1"])
def test_counts_that_make_no_sense(folder, tmp_path, words, capsys):
    given = ["bench", "gray", "--data", str(folder), "-o", str(tmp_path / "out")]
    assert main([*given, *words.split()]) == 2
    assert f"{words} makes no sense" in capsys.readouterr().err
