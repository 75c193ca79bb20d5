"""Writing commands that are stopped at a random moment, outright or by a signal: what was acknowledged must be there,
what was written is whole or old, and nothing is left behind."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psutil

import rnnbench
from rnnbench.loading import save_weights
from rnnbench.model import Model
from rnnbench.records.store import Run, Store

FAULTY = Path(__file__).resolve().parents[2] / "tests" / "plugins" / "faulty.py"
OURS = Path(rnnbench.__file__).parent
SEEDS = 3
COMMAND = [
    *(sys.executable, "-m", "rnnbench", "compare", "-p", str(FAULTY), "-p", "no:backends.numba_cpu"),
    *("--task", "mean", "--cell", "gru", "--backend", "good", "--steps", "2", "--seeds", str(SEEDS), "--no-baselines"),
]
ACKNOWLEDGED = re.compile(r"^\[\d/\d\] .* seed (\d+): ok", re.MULTILINE)
SECOND_PRESS = 0.3  # the share of trials in which Ctrl-C is pressed again, within a tenth of a second
RESUMED = 10  # every so many trials the run is resumed and its scores compared with an undisturbed run's
SECONDS_TO_CLEAN_UP = 5.0
PATIENCE = 60.0
# 130: interrupted; 0: it was done already; the signal itself: Python had not come to our first line yet
EXITS = {
    **{number: (130, 0, -number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)},
    signal.SIGKILL: (-signal.SIGKILL, 0),
}
REGRESSION = 4  # of a gate of a commit against itself, where the machine is busy
# Commands that write other things than runs; {folder} is the trial's own.
ROOT = FAULTY.parents[2]
WRITERS: dict[str, list[str]] = {
    "convert": ["convert", "{folder}/in.safetensors", "{folder}/out/model.safetensors"],
    "warmup": ["warmup", "--cell", "rnn-relu", "--no-training"],
    "gate": ["gate", "HEAD", "HEAD", "--cell", "gru", "--processes", "2", "--json", "{folder}/out/gate.json"],
}


@dataclass(frozen=True)
class Trial:
    """How one ended. wrong: what is not as it must be, empty where all is. stored: groups found afterwards."""

    delay: float
    code: int
    stored: int
    wrong: str


def kills(count: int, first: int = 0) -> dict[str, Any]:
    """Carry out `count` trials of each kind; the n-th trial depends on n alone, but for the machine's speed."""
    with tempfile.TemporaryDirectory(prefix="rnnbench-kills-") as folder:
        seconds, scores = undisturbed(Path(folder))
    found: dict[str, Any] = {"count": count, "seconds_undisturbed": seconds}
    for number in EXITS:
        trials = []
        for position in range(first, first + count):
            trials.append(trial(number, position, seconds, scores))
            last = trials[-1]
            if last.wrong or (position + 1) % 25 == 0:
                print(
                    f"{number.name} {position + 1}/{first + count}: {last.stored} groups, {last.wrong or 'ok'}",
                    flush=True,
                )
        found[number.name] = {
            "stored": dict(sorted(Counter(str(one.stored) for one in trials).items())),
            "exits": dict(sorted(Counter(str(one.code) for one in trials).items())),
            "wrong": [f"trial {n}: {one.wrong}" for n, one in enumerate(trials, first) if one.wrong],
        }
    for name in WRITERS:
        with tempfile.TemporaryDirectory(prefix="rnnbench-kills-") as folder:
            start = time.monotonic()
            done = subprocess.run(**prepared(name, Path(folder)), check=False, stdout=subprocess.DEVNULL)
            if done.returncode not in (0, REGRESSION):
                raise RuntimeError(f"{name} ended with {done.returncode}, undisturbed")
            longest = time.monotonic() - start
        wrong = [f"trial {n}: {why}" for n in range(first, first + count) if (why := written(name, n, longest))]
        print(f"{name}: {count} trials, {len(wrong)} wrong", *wrong, flush=True)
        found[name] = {"seconds_undisturbed": longest, "wrong": wrong}
    return found


def prepared(name: str, folder: Path) -> dict[str, Any]:
    """Return how a writing command is begun in a folder of its own, whose out/model.safetensors is an old model."""
    model = Model("lstm", 64, 256, 1)
    for made in ("scratch", "out", "cache"):
        (folder / made).mkdir()
    save_weights(folder / "out" / "model.safetensors", model, model.init(1))
    save_weights(folder / "in.safetensors", model, model.init(2))
    (folder / "out" / "gate.json").write_text("{}")
    arguments = [argument.format(folder=folder) for argument in WRITERS[name]]
    environment = {**os.environ, "TMPDIR": str(folder / "scratch"), "RNNBENCH_CACHE_DIR": str(folder / "cache")}
    return {
        "args": [sys.executable, "-m", "rnnbench", *arguments],
        "env": environment,
        "cwd": ROOT,
        "stderr": subprocess.DEVNULL,
        "start_new_session": True,
    }


def written(name: str, position: int, longest: float) -> str:
    """Stop a writing command at a random moment, by a random signal to it or to its group; return what is wrong."""
    random = Random(f"{name} {position}")
    number, to_group = random.choice(list(EXITS)), random.random() < 0.5
    with tempfile.TemporaryDirectory(prefix="rnnbench-kills-") as place:
        folder = Path(place)
        begun = prepared(name, folder)
        whole = [(folder / file).read_bytes() for file in ("in.safetensors", "out/model.safetensors")]
        process = subprocess.Popen(**begun, stdout=subprocess.DEVNULL)
        time.sleep(random.uniform(0, 1.1 * longest))
        if process.poll() is None:
            os.killpg(process.pid, number) if to_group else process.send_signal(number)
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"did not end within {PATIENCE:g} s"
        if wrong := left_behind(folder / "scratch", folder / "out"):
            return f"{number.name}: {wrong}"
        if (folder / "out" / "model.safetensors").read_bytes() not in whole:
            return f"{number.name}: the model is neither the old one nor the new one"
        try:
            json.loads((folder / "out" / "gate.json").read_text())
        except ValueError:
            return f"{number.name}: half a JSON file"
        half = [path.name for path in (folder / "cache").rglob(".*") if path.is_file()]
        return f"{number.name}: half-written kernels {half}" if half else ""


def undisturbed(folder: Path) -> tuple[float, dict[int, float | None]]:
    """Return (how long a run takes, its scores by seed)."""
    start = time.monotonic()
    subprocess.run([*COMMAND, "--results", str(folder)], check=True, capture_output=True)
    (run,) = Store(folder).runs()
    return time.monotonic() - start, scores_of(run)


def scores_of(run: Run) -> dict[int, float | None]:
    return {record.seed: record.score for record in run.records()}


def trial(number: signal.Signals, position: int, seconds: float, scores: dict[int, float | None]) -> Trial:
    random = Random(f"{number.name} {position}")
    delay = random.uniform(0, 1.1 * seconds)
    with tempfile.TemporaryDirectory(prefix="rnnbench-kills-") as folder:
        scratch, results = Path(folder) / "scratch", Path(folder) / "results"
        scratch.mkdir()
        command = [*COMMAND, "--results", str(results)]
        process = subprocess.Popen(
            command, env={**os.environ, "TMPDIR": str(scratch)}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        time.sleep(delay)
        process.send_signal(number)
        if number is signal.SIGINT and random.random() < SECOND_PRESS:
            time.sleep(random.uniform(0, 0.1))
            process.send_signal(number)
        try:
            errors = process.communicate(timeout=PATIENCE)[1].decode(errors="replace")
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return Trial(delay, 0, 0, f"did not end within {PATIENCE:g} s")
        wrong = left_behind(scratch, results)
        acknowledged = {int(seed) for seed in ACKNOWLEDGED.findall(errors)}
        run, trouble = stored(results)
        held = scores_of(run) if run else {}
        if process.returncode not in EXITS[number] and not before_our_first_line(process.returncode, errors):
            wrong = wrong or f"exit code {process.returncode}: {errors.strip()[-300:]!r}"
        wrong = wrong or trouble
        if not acknowledged <= held.keys():
            wrong = wrong or f"seeds {sorted(acknowledged - held.keys())} were acknowledged and are lost"
        if any(scores[seed] != score for seed, score in held.items()):
            wrong = wrong or "a score is another one than without the interruption"
        if not wrong and position % RESUMED == 0:
            wrong = resumed(command, results, scores)
        return Trial(delay, process.returncode, len(held), wrong.replace(f"{folder}/", ""))


def before_our_first_line(code: int, errors: str) -> bool:
    """Tell whether Ctrl-C met Python while it started: then it ends with 1, and its traceback names no file of ours."""
    return code == 1 and errors.rstrip().endswith("KeyboardInterrupt") and str(OURS) not in errors


def stored(results: Path) -> tuple[Run | None, str]:
    """Return the one run there is, or none yet; and what cannot be read."""
    store = Store(results)
    runs = store.runs()
    troubles = [*store.problems(), *(problem for run in runs for problem in run.problems())]
    return (runs[0] if runs else None), "; ".join(troubles)


def resumed(command: list[str], results: Path, scores: dict[int, float | None]) -> str:
    """Resume by the same command, and return what is wrong after it, or nothing."""
    done = subprocess.run([*command, "--resume", "--json", "-"], capture_output=True, text=True)
    if done.returncode != 0:
        return f"resuming gave exit code {done.returncode}: {done.stderr.strip()[-300:]!r}"
    if {row["seed"]: row["score"] for row in json.loads(done.stdout)["rows"]} != scores:
        return "after resuming, the scores are others"
    return ""


def left_behind(scratch: Path, results: Path) -> str:
    """Return what is still there five seconds after the end: processes, temporary files; nothing is as it must be."""
    deadline = time.monotonic() + SECONDS_TO_CLEAN_UP
    while True:
        files = [path.name for path in scratch.iterdir()]
        files += [path.name for path in results.rglob(".*")] if results.is_dir() else []
        processes = [process.pid for process in psutil.process_iter() if _temporary_folder(process) == str(scratch)]
        if not files and not processes:
            return ""
        if time.monotonic() > deadline:
            return f"left behind: files {files}, processes {processes}"
        time.sleep(0.05)


def _temporary_folder(process: psutil.Process) -> str:
    try:
        return "" if process.status() == psutil.STATUS_ZOMBIE else process.environ().get("TMPDIR", "")
    except (psutil.Error, OSError):
        return ""
