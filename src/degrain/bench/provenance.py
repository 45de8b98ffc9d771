"""Where a number comes from: versions, machine, commit, memory."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

PACKAGES = ("degrain", "numpy", "onnxruntime")
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def versions() -> Mapping[str, str]:
    """Python's version and those of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


CPU_INFO = Path("/proc/cpuinfo")
VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2"}
"""What decides how fast a processor convolves, by Linux's names, the best first."""


def machine() -> str:
    """The processor's name and its vector instructions, as far as the system tells.

    Rented machines hide the model behind the maker's name; those of two generations differ by more
    than a factor of two.
    """
    if not CPU_INFO.is_file():
        return platform.processor() or platform.machine()
    facts = _facts(CPU_INFO.read_text(encoding="utf-8", errors="replace"))
    name = facts.get("model name") or platform.processor() or platform.machine()
    flags = facts.get("flags", "").split()
    vectors = next((label for flag, label in VECTORS.items() if flag in flags), "")
    return f"{name} ({vectors})" if vectors else name


def _facts(text: str) -> dict[str, str]:
    """The first processor's lines "name : value"."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def commit() -> str:
    """The git commit of degrain's own folder, "+" if it was changed since; "" without git."""
    folder = str(Path(__file__).parent)
    try:
        head = _git(folder, "rev-parse", "--short=12", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--", folder)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + ("+" if changed else "")


def _git(folder: str, *words: str) -> str:
    command = ["git", "-C", folder, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def forget_peak() -> bool:
    """Let the operating system count this process's peak memory anew; False where it cannot."""
    try:
        _RESET.write_text("5")
    except OSError:
        return False
    return True


def peak_mb() -> float:
    """Peak resident memory of this process in 10^6 bytes, as the operating system counts it.

    On Linux since the last `forget_peak`; a child's account does not begin with its parent's.
    """
    if _STATUS.exists():
        lines = _STATUS.read_text().splitlines()
        high = next((line for line in lines if line.startswith("VmHWM:")), None)
        if high is not None:
            return int(high.split()[1]) * 1024 / 1e6
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
