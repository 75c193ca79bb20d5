"""Puts the first table of results/reference/compare.md, and what it says under it, into the README.

The reference is made by: rnnbench compare --export results/reference/compare.md
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- compare: begin -->\n", "<!-- compare: end -->\n"
TASK = "## sunspots"
# What the first screen shows of the full table, which has more columns than fit it.
COLUMNS = ("cell", "backend", "params", "score", "learned", "train", "infer", "95 %", "step p50")


def excerpt(reference: str) -> str:
    """The sunspots table with some columns left out, then the sentences under it."""
    section = reference[reference.index(TASK) :].split("\n## ")[0].splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in section if line.startswith("|")]
    kept = [i for i, name in enumerate(table[0]) if name.startswith(COLUMNS)]
    rows = ["| " + " | ".join(row[i] for i in kept) + " |" for row in table]
    score = next(line for line in section if line.startswith("score:"))
    sentences = [line for line in section if line.startswith("- ")]
    return "\n".join([*rows, "", score, "", *sentences, ""])


def updated(readme: str, reference: str) -> str:
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{excerpt(reference)}\n{END}{tail}"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    reference = (ROOT / "results" / "reference" / "compare.md").read_text(encoding="utf-8")
    readme.write_text(updated(readme.read_text(encoding="utf-8"), reference), encoding="utf-8")
