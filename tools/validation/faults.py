"""The fault suite, run as `pytest -m faults` runs it; its score is the last line it prints."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SCORE = re.compile(r"^faults contained: (\d+) of (\d+)", re.MULTILINE)


def faults(count: int) -> dict[str, Any]:
    """Run the suite `count` times, and keep the worst score. Raises RuntimeError where the suite gives no score."""
    scores = []
    for _ in range(count):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-m", "faults"], cwd=ROOT, capture_output=True, text=True
        )
        found = SCORE.search(done.stdout)
        if found is None:
            raise RuntimeError(f"the fault suite gave no score: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        print(found.group(), flush=True)
        scores.append((int(found[1]), int(found[2])))
    contained, clauses = min(scores)
    return {"count": count, "contained": contained, "clauses": clauses}
