"""Holds `rnnbench gate` to its word: python tools/check_gate.py [--runs 20] [--only same,slow,...] [--processes 5]

In a temporary clone of this repository, scratch commits are made from HEAD and each is put before the gate:

- same        HEAD twice, --runs times: every run must pass
- slow        three of the LSTM's forward passes in twenty made twice: must be caught, and the LSTM named
- score       a tenth of the training steps: must be caught as less accurate
- precision   outputs rounded to half precision: must be caught as less accurate
- parameters  an accumulator that nothing reads: must be caught as larger

Run it on a machine that does nothing else. A run of the gate takes about half a minute.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rnnbench.cli._exit_codes import REGRESSED

ROOT = Path(__file__).resolve().parent.parent
# Added to rnnbench/loading.py: sessions whose forward is another, however they are made inside.
CHANGED_SESSION = """

_session = session


def session(backend, model, *given, **named):
    made = _session(backend, model, *given, **named)
    made.forward = _changed(made.forward, model)
    return made


def _changed(forward, model):
    calls = 0

    def changed(*arguments):
        nonlocal calls
        calls += 1
        {body}

    return changed
"""
AUTHOR = ("-c", "user.name=scratch", "-c", "user.email=scratch@example.invalid")


@dataclass(frozen=True)
class Proof:
    """change: edits the clone's files. expected: a pattern that one of the gate's sentences must match."""

    name: str
    change: Callable[[Path], None]
    expected: str


def change_sessions(root: Path, body: str) -> None:
    """Give every session another forward. body: its code, which has `forward`, `arguments`, `model` and `calls`."""
    with (root / "rnnbench" / "loading.py").open("a", encoding="utf-8") as file:
        file.write(CHANGED_SESSION.format(body=body.replace("\n", "\n        ")))


def repeat_calls(root: Path) -> None:
    again = "if model.cell == 'lstm' and calls % 20 in (3, 10, 17):\n    forward(*arguments)\n"
    change_sessions(root, f"{again}return forward(*arguments)")


def train_less(root: Path) -> None:
    path = root / "rnnbench" / "tasks" / "sunspots.py"
    replace(path, r"Budget\(steps=(\d+)", lambda found: f"Budget(steps={int(found[1]) // 10}")


def round_outputs(root: Path) -> None:
    change_sessions(root, "y, state = forward(*arguments)\nreturn y.astype('float16').astype(y.dtype), state")


def add_accumulator(root: Path) -> None:
    path = root / "rnnbench" / "cells" / "rnn_tanh.py"
    replace(path, r"\(h,\) = pre", "h, _ = pre")
    replace(path, r"return \(dh \* d_tanh\(h\),\)", "return (dh * d_tanh(h), zero)")
    replace(path, r'\(Accumulator\("h"\),\)', '(Accumulator("h"), Accumulator("idle"))')


def replace(path: Path, pattern: str, by: str | Callable[[re.Match[str]], str]) -> None:
    text, count = re.subn(pattern, by, path.read_text(encoding="utf-8"))
    if not count:
        raise SystemExit(f"{path.name} has nothing like {pattern!r}; adapt this script")
    path.write_text(text, encoding="utf-8")


PROOFS = (
    Proof("slow", repeat_calls, r"lstm on numba is slower: inference"),
    Proof("score", train_less, r"is less accurate: score"),
    Proof("precision", round_outputs, r"is less accurate: error"),
    Proof("parameters", add_accumulator, r"rnn-tanh on numba is larger: parameters"),
)


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *AUTHOR, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def scratch(root: Path, proof: Proof) -> str:
    """Make the scratch commit of a proof, on HEAD; the clone's files are HEAD's again afterwards."""
    proof.change(root)
    git(root, "commit", "-q", "-a", "-m", f"Scratch: {proof.name}")
    made = git(root, "rev-parse", "HEAD")
    git(root, "checkout", "-q", "--detach", "origin/HEAD")
    return made


def gate(root: Path, candidate: str, processes: int) -> tuple[int, list[str], float]:
    """Run the gate, and return (exit code, its sentences, seconds)."""
    command = [sys.executable, "-m", "rnnbench", "gate", "origin/HEAD", candidate, "--json", "-"]
    command += ["--processes", str(processes)]
    start = time.monotonic()
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - start
    if done.returncode not in (0, REGRESSED):
        raise SystemExit(f"the gate ended with {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
    return done.returncode, json.loads(done.stdout)["regressions"], seconds


def same(root: Path, runs: int, processes: int) -> bool:
    passed = 0
    for number in range(runs):
        code, sentences, seconds = gate(root, "origin/HEAD", processes)
        passed += code == 0
        print(f"same {number + 1}/{runs}: exit {code}, {seconds:.0f} s", *sentences, sep="\n  ", flush=True)
    print(f"same: {passed} of {runs} passed")
    return passed == runs


def caught(root: Path, proof: Proof, processes: int) -> bool:
    code, sentences, seconds = gate(root, scratch(root, proof), processes)
    good = code == REGRESSED and any(re.search(proof.expected, sentence) for sentence in sentences)
    print(f"{proof.name}: {'caught' if good else 'MISSED'} (exit {code}, {seconds:.0f} s)", *sentences, sep="\n  ")
    return good


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20, help="how often HEAD is compared with itself")
    parser.add_argument("--only", default="", help="comma-separated names of proofs; all by default")
    parser.add_argument("--processes", type=int, default=5, help="of each side, as of the gate")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else ["same", *(proof.name for proof in PROOFS)]
    with tempfile.TemporaryDirectory(prefix="rnnbench-check-gate-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        git(clone, "checkout", "-q", "--detach", "origin/HEAD")
        score = [caught(clone, proof, arguments.processes) for proof in PROOFS if proof.name in names]
        if "same" in names:
            score.append(same(clone, arguments.runs, arguments.processes))
    print(f"{sum(score)} of {len(score)} proofs hold")
    return 0 if all(score) else 1


if __name__ == "__main__":
    sys.exit(main())
