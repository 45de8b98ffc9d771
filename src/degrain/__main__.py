"""`python -m degrain`: the same as the command `degrain`."""

from __future__ import annotations

from degrain.cli import entry

if __name__ == "__main__":
    entry()
