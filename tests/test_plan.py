"""Which picture goes where."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degrain.errors import UsageError
from degrain.files import is_picture, plan


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to be in, with pictures a.jpg, b.PNG, sub/c.tif, sub/deep/d.webp and other files."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.PNG", "notes.txt", "shot.nef", ".hidden.jpg", "sub/c.tif"):
        put(tmp_path / "in" / name)
    put(tmp_path / "in/sub/deep/d.webp")
    return tmp_path


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def pairs(jobs):
    return [(str(job.source), str(job.target), job.status) for job in jobs]


def test_beside_the_input(folder):
    assert pairs(plan([Path("in/a.jpg")], None)) == [("in/a.jpg", "in/a.denoised.jpg", "todo")]


def test_suffixes_keep_their_case(folder):
    assert pairs(plan([Path("in/b.PNG")], None)) == [("in/b.PNG", "in/b.denoised.PNG", "todo")]


def test_a_folder_gives_its_own_pictures(folder):
    sources = [str(job.source) for job in plan([Path("in")], None)]
    assert sources == ["in/a.jpg", "in/b.PNG"]


def test_recursive_keeps_the_tree(folder):
    assert pairs(plan([Path("in")], Path("out"), recursive=True)) == [
        ("in/a.jpg", "out/a.jpg", "todo"),
        ("in/b.PNG", "out/b.PNG", "todo"),
        ("in/sub/c.tif", "out/sub/c.tif", "todo"),
        ("in/sub/deep/d.webp", "out/sub/deep/d.webp", "todo"),
    ]
    assert not Path("out").exists()


def test_outputs_of_earlier_runs_are_no_inputs(folder):
    put(folder / "in/a.denoised.jpg")
    assert pairs(plan([Path("in")], None)) == [
        ("in/a.jpg", "in/a.denoised.jpg", "done"),
        ("in/b.PNG", "in/b.denoised.PNG", "todo"),
    ]


def test_an_output_folder_inside_the_input_is_no_input(folder):
    put(folder / "in/clean/a.jpg")
    assert pairs(plan([Path("in")], Path("in/clean"), recursive=True))[:2] == [
        ("in/a.jpg", "in/clean/a.jpg", "done"),
        ("in/b.PNG", "in/clean/b.PNG", "todo"),
    ]
    assert len(plan([Path("in")], Path("in/clean"), recursive=True)) == 4


def test_an_output_folder_above_the_input_hides_nothing(folder):
    assert pairs(plan([Path("in/sub")], Path())) == [("in/sub/c.tif", "c.tif", "todo")]
    found = plan([Path("in/a.jpg"), Path("in/sub")], Path("in"))
    assert [(str(job.source), str(job.target)) for job in found] == [
        ("in/a.jpg", "in/a.jpg"),
        ("in/sub/c.tif", "in/c.tif"),
    ]
    assert [job.status for job in found] == ["failed", "todo"], "onto itself"


def test_one_file_may_change_its_format(folder):
    assert pairs(plan([Path("in/a.jpg")], Path("other.tif"))) == [("in/a.jpg", "other.tif", "todo")]


@pytest.mark.parametrize("output", ["exists", "new/", "new"])
def test_outputs_that_are_folders(folder, output):
    (folder / "exists").mkdir()
    (job,) = plan([Path("in/a.jpg")], output)
    assert job.target == Path(output) / "a.jpg"


def test_several_files_go_into_a_folder(folder):
    inputs = [Path("in/a.jpg"), Path("in/sub/c.tif")]
    assert [str(job.target) for job in plan(inputs, Path("out"))] == ["out/a.jpg", "out/c.tif"]


@pytest.mark.parametrize(
    ("inputs", "output", "match"),
    [
        (["in/a.jpg", "in/b.PNG"], "out.jpg", "several pictures"),
        (["in"], "out.jpg", "several pictures"),
        (["in/a.jpg", "in/b.PNG"], "in/notes.txt", "several pictures"),
        (["in/a.jpg"], "missing/out.jpg", "does not exist"),
        (["in/a.jpg"], "out.xyz", "cannot write"),
        (["in/sub/deep"], "in/a.jpg/", "is a file"),
        (["empty"], None, "No pictures were found in empty"),
        ([], None, "No picture was named"),
    ],
)
def test_requests_without_sense(folder, inputs, output, match):
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match=match):
        plan([Path(one) for one in inputs], output)


def test_nothing_found_hints_at_recursive(folder):
    (folder / "top").mkdir()
    put(folder / "top/below/a.jpg")
    with pytest.raises(UsageError, match="add --recursive"):
        plan([Path("top")], None)
    assert len(plan([Path("top")], None, recursive=True)) == 1


@pytest.mark.parametrize(
    ("name", "match"),
    [("nowhere.jpg", "does not exist"), ("in/notes.txt", "no picture"), ("in/shot.nef", "raw")],
)
def test_bad_inputs_fail_alone(folder, name, match):
    bad, good = plan([Path(name), Path("in/a.jpg")], None)
    assert (bad.status, good.status) == ("failed", "todo")
    assert name in bad.problem
    assert match in bad.problem


def test_existing_targets_are_done_unless_overwriting(folder):
    put(folder / "in/a.denoised.jpg")
    (job,) = plan([Path("in/a.jpg")], None)
    assert job.status == "done"
    (job,) = plan([Path("in/a.jpg")], None, overwrite=True)
    assert job.status == "todo"


def test_two_inputs_with_one_output(folder):
    put(folder / "other/a.jpg")
    first, second = plan([Path("in/a.jpg"), Path("other/a.jpg")], Path("out"))
    assert (first.status, second.status) == ("todo", "failed")
    assert "in/a.jpg" in second.problem
    assert "other/a.jpg" in second.problem


def test_the_same_input_twice_is_done_once(folder):
    assert len(plan([Path("in/a.jpg"), Path("in/../in/a.jpg"), Path("in")], None)) == 2


@pytest.mark.parametrize("output", ["in/a.jpg", "in", "link.jpg", "in/../in"])
def test_output_equal_to_input(folder, output):
    Path("link.jpg").symlink_to("in/a.jpg")
    for overwrite in (False, True):
        (job,) = plan([Path("in/a.jpg")], output, overwrite=overwrite)
        assert job.status == "failed"
        assert "onto itself" in job.problem


def test_a_hard_link_of_the_input_is_no_output(folder):
    Path("hard.jpg").hardlink_to("in/a.jpg")
    (job,) = plan([Path("in/a.jpg")], "hard.jpg", overwrite=True)
    assert job.status == "failed"
    assert "onto itself" in job.problem


def test_an_input_is_not_overwritten_by_another(folder):
    put(folder / "in/a.denoised.jpg")
    inputs = [Path("in/a.jpg"), Path("in/a.denoised.jpg")]
    first, second = plan(inputs, None, overwrite=True)
    assert (first.status, second.status) == ("failed", "todo")
    assert "itself an input" in first.problem


def test_a_folder_in_the_way_of_a_target(folder):
    (folder / "in/a.denoised.jpg").mkdir()
    (job,) = plan([Path("in/a.jpg")], None, overwrite=True)
    assert job.status == "failed"


def test_folders_that_cannot_be_listed_are_told(folder, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    jobs = plan([Path("in")], None, recursive=True)
    assert [job.status for job in jobs] == ["todo", "todo", "failed"]
    assert "permission denied" in jobs[-1].problem


def test_is_picture(folder):
    assert is_picture(Path("in/a.jpg"))
    assert is_picture(Path("in/b.PNG"))
    for name in ("in/notes.txt", "in/shot.nef", "in", "nowhere.jpg"):
        assert not is_picture(Path(name))


names = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["x", "y/x", "y/z", ""]),
        st.sampled_from([".jpg", ".png", ".denoised.jpg", ".txt"]),
    ),
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(
    tree=names,
    picked=st.lists(st.integers(0, 8), max_size=4),
    beside=st.booleans(),
    recursive=st.booleans(),
    overwrite=st.booleans(),
)
def test_no_plan_loses_anything(tmp_path_factory, tree, picked, beside, recursive, overwrite):
    top = tmp_path_factory.mktemp("plan")
    paths = [put(top / "in" / inside / (stem + suffix)) for stem, inside, suffix in tree]
    choices = [*paths, top / "in"]
    inputs = [choices[i % len(choices)] for i in picked] or [top / "in"]
    try:
        jobs = plan(
            inputs, None if beside else top / "out", recursive=recursive, overwrite=overwrite
        )
    except UsageError:
        return
    todo = [job for job in jobs if job.status == "todo"]
    targets = [job.target for job in todo]
    assert len(set(targets)) == len(targets)
    assert not {job.source for job in jobs} & set(targets)
    assert overwrite or not any(target.exists() for target in targets)
    assert all(job.source.exists() and not job.problem for job in todo)
    assert all(job.problem.endswith(".") for job in jobs if job.status == "failed")


def test_a_name_that_cannot_be_costs_its_own_picture_only(folder):
    long = put(folder / "in" / ("n" * 248 + ".jpg"))
    jobs = {job.source.name: job for job in plan([Path("in")], None)}
    assert jobs[long.name].status == "failed"
    assert "cannot be written (file name too long)" in jobs[long.name].problem
    assert jobs["a.jpg"].status == "todo"
    (job,) = plan([Path("x" * 300 + ".jpg")], None)
    assert "cannot be read (file name too long)" in job.problem


def test_a_link_to_nothing_is_a_target_that_exists(folder):
    (folder / "in" / "a.denoised.jpg").symlink_to("nowhere.jpg")
    assert pairs(plan([Path("in/a.jpg")], None)) == [("in/a.jpg", "in/a.denoised.jpg", "done")]


def test_pipes_that_are_named_are_refused(folder):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo("pipe.jpg")
    (job,) = plan([Path("pipe.jpg")], None)
    assert (job.status, "is a pipe" in job.problem) == ("failed", True)
