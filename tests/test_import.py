"""`import degrain` is light, and its names stay what they are."""

from __future__ import annotations

import subprocess
import sys

import pytest

import degrain

NAMES = ["DegrainError", "Denoiser", "denoise", "estimate_noise", "list_models", "load_model"]
HEAVY = "{'torch', 'onnx', 'onnxruntime', 'pyvips', 'PIL', 'scipy', 'cv2', 'skimage', 'tyro'}"


def fresh(code):
    """Run code in a fresh interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_public_names():
    assert degrain.__all__ == NAMES
    assert set(NAMES) <= set(dir(degrain))
    assert all(callable(getattr(degrain, name)) for name in NAMES)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        degrain.nonsense  # noqa: B018


def test_import_loads_nothing_heavy():
    code = (
        "import degrain, sys; print({HEAVY} & set(sys.modules) or 'none', 'numpy' in sys.modules)"
    )
    assert fresh(code.replace("{HEAVY}", HEAVY)) == "none False"


def test_using_every_name_loads_nothing_heavy():
    code = "import sys; from degrain import *; print({HEAVY} & set(sys.modules) or 'none')"
    assert fresh(code.replace("{HEAVY}", HEAVY)) == "none"


def test_all_names_cost_under_a_tenth_of_a_second_or_what_numpy_costs():
    code = (
        "from time import process_time as now; start = now(); import numpy; middle = now(); "
        "from degrain import *; print(now() - middle, middle - start)"
    )
    # NumPy's share tells how slow the machine is. Once in ten: a busy one may only make it slower.
    costs = [tuple(map(float, fresh(code).split())) for _ in range(10)]
    assert any(names < max(0.1, numpy) for names, numpy in costs)


def test_denoise_is_callable_before_and_after_its_module_is_loaded():
    code = (
        "import numpy as np, degrain\n"
        "x = np.zeros((4, 4), np.uint8)\n"
        "first = degrain.denoise\n"
        "from degrain.denoise import Denoiser\n"
        "from degrain import denoise\n"
        "import degrain.denoise as module\n"
        "for f in (first, denoise, degrain.denoise, module):\n"
        "    assert f(x, strength=0).shape == (4, 4)\n"
        "assert module.Denoiser is degrain.Denoiser is Denoiser"
    )
    assert fresh(code) == ""
