"""Batches made ahead: the same ones, in order, whoever makes them."""

import threading

import pytest

torch = pytest.importorskip("torch")

from degrain.noise import parse_noise  # noqa: E402 - torch is optional
from degrain.train.ahead import ON_GPU, Ahead, threads_for  # noqa: E402

CPU = torch.device("cpu")


def numbered(step):
    return torch.tensor(step), torch.tensor(-step)


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_batches_come_in_order(threads):
    with Ahead(numbered, 7, threads, CPU) as batches:
        taken = [batches.take() for _ in range(20)]
    assert taken == [numbered(step) for step in range(7, 27)]


def test_the_next_batch_is_begun_before_it_is_asked_for():
    begun = threading.Event()

    def draw(step):
        if step == 1:
            begun.set()
        return numbered(step)

    with Ahead(draw, 0, 1, CPU) as batches:
        batches.take()
        assert begun.wait(10)


def test_without_threads_a_batch_is_made_when_it_is_asked_for():
    made = []
    with Ahead(lambda step: made.append(step) or numbered(step), 3, 0, CPU) as batches:
        assert made == []
        batches.take()
        assert made == [3]


def test_what_a_thread_raises_is_raised_where_its_batch_is_taken():
    def draw(step):
        if step == 2:
            raise ValueError("no picture")
        return numbered(step)

    with Ahead(draw, 1, 2, CPU) as batches:
        batches.take()
        with pytest.raises(ValueError, match="no picture"):
            batches.take()


def test_a_cameras_noise_and_drawn_shapes_on_a_gpu_are_worth_threads():
    gpu = torch.device("cuda")
    assert threads_for(parse_noise("camera"), 0.0, gpu) == ON_GPU
    assert threads_for(parse_noise("gaussian:25"), 0.3, gpu) == ON_GPU
    assert threads_for(parse_noise("camera"), 0.4, CPU) == 0
    assert threads_for(parse_noise("gaussian:25"), 0.0, gpu) == 0
