"""Write docs/explanation/comparison.md from benchmarks/results/; nothing is measured here.

    python benchmarks/comparison.py --ids BSD68.txt

The list names the 68 pictures of BSD68 among the Berkeley 100, one a line. The commands that make
the results stand in the page itself.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from degrain.bench.report import report

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "explanation" / "comparison.md"

HEAD = """# The whole field on the same pixels

Written by `python benchmarks/comparison.py --ids IDS` from the rows in `benchmarks/results/`;
nothing on this page is typed. All methods got the same noisy pictures; *told* methods were told σ,
*blind* ones were not. Published numbers stand in columns and tables of their own. The noise levels
are those of the two papers this project implements, and in color σ 75,
which lies beyond the networks' range.

What comes out:

- **The bench can be trusted.** The networks of other authors, run here from the authors' weights,
  come out where they were published (columns "published").
- **Means only compare on the same pictures.** Slow methods ran on a subset drawn by a seed (n
  beside each mean); the second table of each set has the pictures that all share, and the
  differences to BM3D are taken picture by picture, with 95 % bootstrap intervals.
- **Conversions matter.** Here gray is luma, as in most papers; the tables of the
  [2008 paper](jain-seung-2008.md) average the channels and have BM3D at σ 25, 50 and 100 in the
  same run.
- **Differences of less than 0.05 dB between papers mean nothing**: noise seeds, clipping and the
  conversion to gray move results by as much.

To repeat it (`DIR/val` are the Berkeley 100, IDS a list of the 68 among them that are BSD68,
`SET12` the twelve pictures of that name; `ffdnet_gray.onnx` and so on are networks of others, which
are not part of degrain):

```sh
LEVELS="gaussian:10 gaussian:15 gaussian:20 gaussian:25 gaussian:50 gaussian:100"
FAST="noisy nlm nlm-skimage wavelet tv degrain-gray degrain-gray-fast jain-seung-cnblind
      onnx:ffdnet_gray.onnx onnx:dncnn_b_gray.onnx"
BERKELEY="degrain bench gray --data DIR/val --threads 1 -o benchmarks/results/berkeley100"
SET12="degrain bench gray --data SET12 --threads 1 -o benchmarks/results/set12"
COLOR="degrain bench color --data DIR/val --ids IDS --threads 1
       -o benchmarks/results/bsd68-color.jsonl"
$BERKELEY --noise $LEVELS --method $FAST foe bls-gsm ksvd epll
$BERKELEY --noise $LEVELS --method bm3d
$BERKELEY --noise gaussian:25 --method wnnm                  # three minutes a picture
$BERKELEY --noise gaussian:10 gaussian:15 gaussian:20 --slow-pictures 3 --method wnnm
$BERKELEY --noise gaussian:50 --slow-pictures 1 --method wnnm
$SET12 --noise $LEVELS --method $FAST foe bls-gsm ksvd bm3d
$SET12 --noise $LEVELS --slow-pictures 4 --method epll
$SET12 --noise gaussian:25 --slow-pictures 2 --method wnnm
$SET12 --noise gaussian:50 gaussian:100 --slow-pictures 1 --method wnnm
$COLOR --noise $LEVELS --method noisy nlm nlm-skimage wavelet tv degrain-color degrain-color-fast \\
    degrain-photo degrain-photo-fast onnx:ffdnet_color.onnx onnx:dncnn_b_color.onnx
$COLOR --noise $LEVELS --method bm3d
degrain bench report benchmarks/results/berkeley100 --ids IDS --html page.html  # with plots, crops
```
"""


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ids", type=Path, required=True, help="list of the pictures of BSD68")
    ids = parser.parse_args().ids
    parts = [
        HEAD,
        section("BSD68, gray", RESULTS / "berkeley100", ids),
        section("CBSD68, color", RESULTS / "bsd68-color.jsonl"),
        section("Set12, gray", RESULTS / "set12"),
        section("Berkeley 100, gray", RESULTS / "berkeley100"),
    ]
    PAGE.write_text("\n".join(parts), encoding="utf-8", newline="\n")


def section(title: str, results: Path, ids: Path | None = None) -> str:
    """The tables of one set."""
    return f"## {title}\n\n{report(results, against='bm3d', ids=ids)}"


if __name__ == "__main__":
    main()
