"""Puts into the README what the files in results/reference say, with the figures as they stand there:

of compare.md, made by `rnnbench compare --export results/reference/compare.md`, the first table and what it says under
it; of peers.md, made by `python benchmarks/peers.py`, the overview.
"""

from pathlib import Path

from rnnbench import atomic
from rnnbench.report import markdown

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "results" / "reference"
TASK, OVERVIEW = "## sunspots", "## Overview"
# What the first screen shows of the full table, which has more columns than fit it.
COLUMNS = ("cell", "backend", "params", "score", "learned", "MAE", "train", "infer", "step p50")


def section(text: str, heading: str) -> list[str]:
    """Return the lines of a part of a page, its heading first."""
    return text[text.index(heading) :].split("\n## ")[0].splitlines()


def comparison(text: str) -> str:
    """Return the sunspots table with some columns left out, then the sentences under it."""
    lines = section(text, TASK)
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    kept = [i for i, name in enumerate(table[0]) if name.startswith(COLUMNS)]
    rows = [markdown.row(row[i] for i in kept) for row in table]
    score = next(line for line in lines if line.startswith("score:"))
    sentences = [line for line in lines if line.startswith("- ")]
    return "\n".join([*rows, "", score, "", *sentences, ""])


def peers(text: str) -> str:
    """Return the overview's table."""
    return "\n".join([*(line for line in section(text, OVERVIEW) if line.startswith("|")), ""])


EXCERPTS = {"compare": comparison, "peers": peers}


def updated(readme: str) -> str:
    for name, excerpt in EXCERPTS.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        head, _, rest = readme.partition(begin)
        _, _, tail = rest.partition(end)
        text = (REFERENCE / f"{name}.md").read_text(encoding="utf-8")
        readme = f"{head}{begin}\n{excerpt(text)}\n{end}{tail}"
    return readme


if __name__ == "__main__":
    page = ROOT / "README.md"
    atomic.write(page, updated(page.read_text(encoding="utf-8")))
