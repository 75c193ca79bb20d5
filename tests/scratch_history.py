"""A scratch repository, and results as asv writes them, for the commands that read history."""

import json
import subprocess
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

BENCHMARK = "speed.Inference.track_infer_seconds"
NAMES = ("task", "cell", "backend", "hidden_size")
COLUMNS = ["result", "params", "version", "started_at", "duration"]
DAY = 86_400


class Scratch:
    """A repository with `count` commits, a day apart, each named after its number."""

    def __init__(self, root: Path, count: int = 6) -> None:
        self.root = root
        root.mkdir()
        self.git("init", "-q", "-b", "main")
        self.hashes = [self.commit(number) for number in range(count)]

    def git(self, *arguments: str, date: int = 0) -> str:
        identity = {
            f"GIT_{who}_{what}": "s@example.invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        dates = {f"GIT_{who}_DATE": f"{1_700_000_000 + date} +0000" for who in ("AUTHOR", "COMMITTER")}
        done = subprocess.run(
            ["git", "-C", str(self.root), *arguments],
            env={**identity, **dates, "PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(self.root)},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, number: int) -> str:
        (self.root / "file.txt").write_text(str(number))
        self.git("add", "file.txt")
        self.git("commit", "-q", "-m", f"Change number {number}", date=number * DAY)
        return self.git("rev-parse", "HEAD")


def write_asv(
    folder: Path,
    hashes: Sequence[str],
    values: dict[tuple[str, str], Sequence[float | None]],
    machine: str = "reference",
    version: str = "1",
    environment: str = "virtualenv-py3.11",
) -> None:
    """values: (cell, backend) -> a value for each of `hashes`; None stands for a failure, NaN for n/a."""
    cells, backends = (sorted({key[place] for key in values}) for place in (0, 1))
    params = [["'sunspots'"], [repr(cell) for cell in cells], [repr(backend) for backend in backends], ["32"]]
    (folder / machine).mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = {
        "version": 2,
        BENCHMARK: {"name": BENCHMARK, "param_names": list(NAMES), "params": params, "unit": "seconds", "version": "1"},
    }
    (folder / "benchmarks.json").write_text(json.dumps(known))
    (folder / machine / "machine.json").write_text(json.dumps({"machine": machine, "version": 1}))
    for number, commit in enumerate(hashes):
        column = [values.get(key, [None] * len(hashes))[number] for key in product(cells, backends)]
        content = {
            "commit_hash": commit,
            "env_name": environment,
            "date": (1_700_000_000 + number * DAY) * 1000,
            "params": {"machine": machine},
            "python": "3.11",
            "requirements": {},
            "env_vars": {},
            "result_columns": COLUMNS,
            "results": {BENCHMARK: [column, params, version, 0, 1.0]},
            "durations": {},
            "version": 2,
        }
        (folder / machine / f"{commit[:8]}-{environment}.json").write_text(json.dumps(content))
