"""Inference of every installed backend on a grid of shapes, by rnnbench's own harness: python benchmarks/peers.py

Each shape is one comparison: random weights, checked against the float64 reference, timed by turns in processes of
their own. The table, with each row's ratio of the fastest peer to `numba` and its part of the machine's multiply-add
peak, goes to results/reference/peers.md; what was measured, to results/reference/peers.json.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rnnbench.measure.plan import Settings
from rnnbench.measure.runner import compare
from rnnbench.model import Model
from rnnbench.plugins import registry
from rnnbench.records.record import Record
from rnnbench.records.store import Store
from rnnbench.tasks.model_file import model_task

OUT = Path(__file__).resolve().parent.parent / "results" / "reference"
# batch, steps, input size, hidden size
SHAPES = [
    (1, 100, 1, 50),
    (1, 100, 64, 128),
    (1, 100, 128, 256),
    (1, 50, 256, 512),
    (3, 60, 40, 96),
    (17, 60, 33, 200),
    (32, 100, 1, 50),
    (32, 100, 64, 128),
    (32, 50, 256, 512),
    (48, 40, 100, 384),
    (128, 50, 64, 128),
    (256, 30, 128, 256),
]
CELLS = ("lstm", "gru")
NOT_PEERS = ("numba", "numpy")


class Quiet:
    """A listener that hears nothing."""

    def planned(self, *_: object) -> None: ...

    def stage(self, *_: object) -> None: ...

    def clock(self, running: bool) -> None: ...

    def finished(self, *_: object) -> None: ...


def measured(cell: str, shape: tuple[int, int, int, int], seeds: int, backends: tuple[str, ...]) -> Iterator[Record]:
    """The rows of one shape: a row for each backend and seed, and so for each process."""
    B, T, I, H = shape
    model = Model(cell, I, H, readout="all")
    task = model_task(f"{cell}-{B}-{T}-{I}-{H}", model, model.init(0), batch_size=B, seq_len=T)
    settings = Settings(tasks=(task.id,), cells=(cell,), backends=backends, hidden_sizes=(H,), seeds=seeds, steps=0)
    with tempfile.TemporaryDirectory() as folder:
        run = Store(Path(folder)).create({}, settings.digest(), {})
        outcome = compare(settings, registry(), run, Quiet(), (task,))
    if outcome.interrupted:
        raise KeyboardInterrupt
    yield from outcome.records


def row(cell: str, shape: tuple[int, int, int, int], records: list[Record]) -> dict[str, object]:
    """Medians over processes, in milliseconds; what could not run has its status instead."""
    times: dict[str, float] = {}
    for backend in sorted({r.backend for r in records}):
        found = [r.infer_seconds for r in records if r.backend == backend and r.infer_seconds is not None]
        if found:
            times[backend] = float(np.median(found)) * 1e3
    peers = {name: time for name, time in times.items() if name not in NOT_PEERS}
    fractions = [r.roofline_fraction for r in records if r.backend == "numba" and r.roofline_fraction is not None]
    return {
        "cell": cell,
        "shape": shape,
        "milliseconds": times,
        "ratio": min(peers.values()) / times["numba"] if peers and "numba" in times else None,
        "peak_fraction": float(np.median(fractions)) if fractions else None,
        "failures": sorted({f"{r.backend}: {r.status}" for r in records if r.failed}),
    }


def table(rows: list[dict]) -> str:
    """Markdown; a ratio below 0.97 is a loss and marked so."""
    backends = sorted({name for r in rows for name in r["milliseconds"]}, key=lambda name: (name != "numba", name))
    lines = [
        "| cell | B, T, I, H | "
        + " | ".join(f"{name} (ms)" for name in backends)
        + " | fastest peer / numba | of peak |",
        "|:--|:--|" + "--:|" * (len(backends) + 2),
    ]
    for r in rows:
        times = [f"{r['milliseconds'][name]:.3g}" if name in r["milliseconds"] else "–" for name in backends]
        ratio = "–" if r["ratio"] is None else f"{r['ratio']:.2f}" + (" (slower)" if r["ratio"] < 0.97 else "")
        peak = "–" if r["peak_fraction"] is None else f"{r['peak_fraction']:.0%}"
        shape = ", ".join(map(str, r["shape"]))
        lines.append(f"| {r['cell']} | {shape} | " + " | ".join(times) + f" | {ratio} | {peak} |")
    for cell in sorted({r["cell"] for r in rows}):
        ratios = [r["ratio"] for r in rows if r["cell"] == cell and r["ratio"] is not None]
        if ratios:
            lines.append(f"\nGeometric mean of the ratios, {cell}: {np.exp(np.mean(np.log(ratios))):.2f}.")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="processes per backend and shape")
    parser.add_argument("--backends", default="", help="comma-separated; all installed but numpy by default")
    arguments = parser.parse_args()
    chosen = [name for name in arguments.backends.split(",") if name]
    if not chosen:
        chosen = [info.id for info in registry().backends.values() if info.missing() is None and info.id != "numpy"]
    rows = []
    for cell in CELLS:
        for shape in SHAPES:
            rows.append(row(cell, shape, list(measured(cell, shape, arguments.seeds, tuple(chosen)))))
            print(table(rows[-1:]).splitlines()[2], *rows[-1]["failures"], flush=True)  # noqa: T201
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "peers.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (OUT / "peers.md").write_text(table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
