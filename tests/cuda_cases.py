"""Runs the CUDA kernels in the simulator and prints what came out, as JSON: the errors of every case by name.

A program of its own, because the simulator is chosen by the environment when Numba is imported: test_cuda_simulated.py
runs it with NUMBA_ENABLE_CUDASIM=1. Shapes are tiny: each CUDA thread is a Python thread.
"""

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import numpy as np
from gradient_check import Problem, relative_errors

import rnnbench
from rnnbench.backends.numba_cuda.session import CudaSession
from rnnbench.kernels.cuda import compiled, large
from rnnbench.kernels.cuda.choose import ScanPlanner
from rnnbench.kernels.cuda.layout import CudaLayout
from rnnbench.kernels.cuda.plan import ScanPlan, scan_phases
from rnnbench.kernels.cuda.target import device
from rnnbench.model import Model
from rnnbench.registry import registry
from rnnbench.training import DEFAULT_ADAM, Adam


@dataclass(frozen=True)
class Blocks:
    """Forced on a scan instead of the model's choice: units and rows of a block, and what becomes of R and time."""

    units: int
    rows: int
    resident: bool
    looped: bool


# Neither 5 units nor 3 rows are a multiple of what a block takes.
MODES = {
    "alone": Blocks(5, 2, resident=True, looped=True),
    "cooperative": Blocks(2, 2, resident=True, looped=True),
    "streamed": Blocks(3, 2, resident=False, looped=True),
    "stepped": Blocks(2, 2, resident=False, looped=False),
}
MODE_CELLS = ("lstm", "gru-before")


@contextmanager
def forced(blocks: Blocks) -> Iterator[None]:
    def plan(cell: object, dtype: str, hidden: int, batch: int, backward: bool) -> ScanPlan:
        phases = scan_phases(CudaLayout(cell), backward)
        roomy = replace(device(), multiprocessors=64, threads=8)
        made = ScanPlanner(phases, hidden, batch, np.dtype(dtype).itemsize, roomy).plan(**asdict(blocks))
        assert made is not None
        assert made.resident == blocks.resident
        return made

    chosen, compiled.plan = compiled.plan, plan
    try:
        yield
    finally:
        compiled.plan = chosen


def problem(
    cell: str, dtype: str, T: int, B: int, layers: int = 1, two_way: bool = True, ragged: bool = True
) -> Problem:
    """Return one in float64, with numbers that are exact in `dtype`."""
    readout, O = ("all", 2) if two_way else ("last", None)
    p = Problem(Model(cell, 2, 5, O, layers, two_way, readout, "float64"), T, B, ragged=ragged)
    for name in ("x", "target"):
        object.__setattr__(p, name, getattr(p, name).astype(dtype).astype("float64"))
    object.__setattr__(p, "params", {n: v.astype(dtype).astype("float64") for n, v in p.params.items()})
    object.__setattr__(p, "state", tuple(s.astype(dtype).astype("float64") for s in p.state))
    return p


def error(value: np.ndarray, reference: np.ndarray) -> float:
    return float(np.abs(value - reference).max() / (np.abs(reference).max() or 1.0))


def compared(p: Problem, dtype: str) -> dict[str, float]:
    """Compare outputs, states and gradients of the simulated kernels with the float64 reference."""
    session = rnnbench.session("numba-cuda", replace(p.model, dtype=dtype), p.params)
    reference = rnnbench.session("numpy", p.model, p.params)
    y, final = session.forward(p.x, p.lengths, p.state)
    expected, expected_final = reference.forward(p.x, p.lengths, p.state)
    loss, gradients = session.gradients(p.x, p.target, p.lengths, p.state)
    expected_loss, expected_gradients = reference.gradients(p.x, p.target, p.lengths, p.state)
    assert y.dtype == dtype
    assert y.shape == expected.shape
    assert sorted(gradients) == sorted(expected_gradients)
    return {
        "outputs": error(y, expected),
        "states": max(error(a, b) for a, b in zip(final, expected_final, strict=True)),
        "loss": abs(loss - expected_loss) / abs(expected_loss),
        "gradients": max(relative_errors(gradients, expected_gradients).values()),
        "launches": len(session.stack.layers[0].scan(p.x.shape[1], False).kernels),
    }


def mode(cell: str, blocks: Blocks) -> dict[str, float]:
    with forced(blocks):
        return compared(problem(cell, "float64", T=3, B=3, two_way=False), "float64")


def barriers_resumed() -> dict[str, float]:
    """Launch again and again, sequences of different lengths: the barriers' counters go on from where they were."""
    with forced(MODES["cooperative"]):
        problems = [problem("gru-before", "float64", T=T, B=3, two_way=False) for T in (3, 2)]
        session, worst = rnnbench.session("numba-cuda", problems[0].model, problems[0].params), 0.0
        for p in problems:
            _, gradients = session.gradients(p.x, p.target, p.lengths, p.state)
            _, expected = rnnbench.session("numpy", p.model, problems[0].params).gradients(
                p.x, p.target, p.lengths, p.state
            )
            worst = max(worst, *relative_errors(gradients, expected).values())
        for backward in (False, True):
            scan = session.stack.layers[0].scan(3, backward)
            assert scan.plan.barrier_blocks > 1
            assert scan.goal == sum(p.x.shape[0] for p in problems) * scan.plan.barriers * scan.plan.barrier_blocks
            assert set(scan.counters) == {scan.goal}
    return {"gradients": worst}


def parts() -> dict[str, float]:
    """Have blocks divide the inner dimension of dW and dR, and of the sums over visits."""
    before, large.PART_DEPTH = large.PART_DEPTH, 2
    try:
        return compared(problem("gru", "float64", T=3, B=3, two_way=False), "float64")
    finally:
        large.PART_DEPTH = before


def trained(clip_norm: float | None) -> dict[str, float]:
    """Take three steps of Adam: compare parameters and losses with the reference's."""
    p = problem("gru", "float64", T=2, B=2, two_way=False)
    settings = Adam(learning_rate=0.05, clip_norm=clip_norm)
    pair = [rnnbench.session(name, p.model, p.params, optimiser=settings) for name in ("numba-cuda", "numpy")]
    losses = [[s.train_step(p.x, p.target, p.lengths) for _ in range(3)] for s in pair]
    mine, wanted = (s.parameters() for s in pair)
    moved = min(float(np.abs(wanted[name] - p.params[name]).max()) for name in wanted)
    assert moved > 0, "training moves every tensor"
    return {
        "losses": error(np.array(losses[0]), np.array(losses[1])),
        "parameters": max(error(mine[name], wanted[name]) for name in wanted),
    }


def streamed() -> dict[str, float]:
    """Join steps: they are the sequence, and a second call of another size does not see what the first left."""
    p = problem("lstm", "float64", T=2, B=2, two_way=False, ragged=False)
    session = CudaSession(p.model, p.params, "mse", DEFAULT_ADAM)
    session.forward(np.ones((3, 3, 2)), np.array([3, 1, 2]), None)
    state = None
    for x_t in p.x:
        y, state = session.step(x_t, state)
    whole, final = rnnbench.session("numpy", p.model, p.params).forward(p.x)
    assert session.copied.seconds > 0
    assert session.copied.bytes > p.x.nbytes
    return {"outputs": error(y, whole), "states": max(error(a, b) for a, b in zip(state, final, strict=True))}


def cases() -> dict[str, Callable[[], dict[str, float]]]:
    found: dict[str, Callable[[], dict[str, float]]] = {}
    for cell in sorted(registry().cells):
        found[f"{cell} float64"] = lambda cell=cell: compared(problem(cell, "float64", T=3, B=3), "float64")
        found[f"{cell} float32"] = lambda cell=cell: compared(
            problem(cell, "float32", T=2, B=2, layers=2, two_way=False, ragged=False), "float32"
        )
    for name, blocks in MODES.items():
        for cell in MODE_CELLS:
            found[f"{cell} {name}"] = lambda cell=cell, blocks=blocks: mode(cell, blocks)
    return found | {
        "barriers resumed": barriers_resumed,
        "parts": parts,
        "trained": lambda: trained(None),
        "trained, clipped": lambda: trained(0.01),
        "streamed": streamed,
    }


def main(wanted: list[str]) -> None:
    results: dict[str, dict[str, float] | str] = {}
    for name, case in cases().items():
        if not wanted or name in wanted:
            try:
                results[name] = case()
            except Exception:
                results[name] = traceback.format_exc()
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
