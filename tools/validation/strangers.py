"""Stored runs, asv's results and options as strangers may make them, and what a user does with them."""

import hashlib
import io
import json
import math
import re
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from random import Random

from rnnbench.cli import main
from rnnbench.comparison.description import Description, TaskNote
from rnnbench.comparison.options import Options
from rnnbench.comparison.plan import Group, Settings
from rnnbench.errors import UsageError
from rnnbench.records.comparisons import CONTROL, INFER
from rnnbench.records.noise import KnownNoise
from rnnbench.records.record import Record
from rnnbench.records.statistics import Interval
from rnnbench.records.store import Run, Store
from rnnbench.report.document import Report
from rnnbench.report.text import printable
from rnnbench.tasks.spec import Training
from rnnbench.tracking import asv_results, from_runs
from rnnbench.tracking.commits import Commit
from rnnbench.tracking.sections import as_json, sections
from rnnbench.tracking.series import Readings, in_order
from validation.damage import Json, damaged, encoded, strange, written

WIDTH = "200"  # columns of the terminal
LONGEST_LINE = 20_000  # printed characters: a name of 300 in each cell of a table is a right result
ASV = Path(__file__).resolve().parents[2] / "results" / "asv"
MACHINE = {"id": "testor-2c", "cpu": "Testor 9000", "cores": 2, "python": "3.11.9", "packages": {"numba": "0.68.1"}}
NUMBERLESS = re.compile(r"(?<![\w-])(nan|inf)(?![\w-])", re.IGNORECASE)
TOLD = ("infer_seconds", "score", "parameters", "import_seconds")  # figures whose history is told: all are told alike
Trial = Callable[[Path, Random], str]  # returns "read" or "refused"


class Wrong(Exception):
    """Neither a right result nor one line."""


def one_line(text: str) -> None:
    """Hold an error's message to a line that says something. Raises Wrong."""
    if not text or "\n" in text or len(text) > 2000:
        raise Wrong(f"not one line: {text[:200]!r}")


def command(*arguments: str, codes: tuple[int, ...] = (0,)) -> tuple[int, str]:
    """Run the command line in this process; return its exit code and what it printed. Raises Wrong for an internal
    error, another exit code, or something that is no text."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        code = main(list(arguments))
    printed, told = (stream.buffer.getvalue().decode(errors="replace") for stream in (out, err))
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    if "failed with" in told or "Traceback" in told:
        raise Wrong(f"{arguments[0]}: {errors or told[-300:]}")
    if code not in (*codes, 2) or len(errors) != (code == 2):
        raise Wrong(f"{arguments[0]}: exit code {code}, {errors}")
    for line in (*printed.split("\n"), *told.split("\n")):
        if not (line.isprintable() or line == printable(line)) or len(line) > LONGEST_LINE:
            raise Wrong(f"{arguments[0]} printed {line[:200]!r}")
    return code, printed


# ---- stored runs -----------------------------------------------------------------------------------------------------


def row(cell: str, backend: str, seed: int, slower: float, run: Run) -> Record:
    trains, seconds = backend == "numba", slower * (2e-4 if backend == "numba" else 5e-3) * (1 + 0.001 * seed)
    return Record(
        task="sine",
        cell=cell,
        backend=backend,
        input_size=1,
        hidden_size=8,
        layers=1,
        bidirectional=False,
        dtype="float32",
        threads=1,
        seed=seed,
        status="ok",
        warnings=() if trains else ("inputs of 1e-40 slow it down",),
        batch_size=32,
        seq_len=12,
        parameters=1121,
        parameters_two_bias=1153,
        score_name="error / persistence",
        score={"gru": 0.5, "lstm": 0.6}[cell] + 0.01 * seed,
        score_baseline=1.0,
        score_better="lower",
        learned=True,
        train_steps=200 if trains else None,
        train_seconds=0.2 if trains else None,
        train_step_seconds=1e-3 if trains else None,
        seconds_to_learn=0.05 if trains else None,
        infer_seconds=seconds,
        infer_seconds_low=seconds * 0.98,
        infer_seconds_high=seconds * 1.03,
        latency_p50_seconds=seconds / 90,
        latency_p99_seconds=seconds / 60,
        first_call_seconds=0.4,
        compile_seconds=1.9 if trains else None,
        compile_cache=("warm" if seed else "cold") if trains else None,
        peak_rss_bytes=2**28,
        forward_error=1e-7,
        roofline_fraction=0.3 if trains else None,
        run_id=run.id,
        machine=run.machine["id"],
        commit=run.machine["commit"],
    )


def sound_store(root: Path, seeds: int = 5) -> None:
    """Make two runs of one machine, at two commits, and a noise."""
    settings = Settings(("sine",), ("lstm", "gru"), ("numba", "numpy"), (8,), seeds=seeds)
    description = Description(settings, {"sine": TaskNote("Sines of unlike frequencies", Training(200))})
    Store(root).keep_noise("testor-2c", KnownNoise(Interval(1.0, 0.99, 1.01, 10), "2026-11-23"))
    for commit, slower in (("a" * 40, 1.0), ("b" * 40, 1.3)):
        run = Store(root).create(description.as_json(), settings.digest(), {**MACHINE, "commit": commit})
        for seed in range(seeds):
            for cell in settings.cells:
                rows = [row(cell, backend, seed, slower, run) for backend in settings.backends]
                rounds = {
                    each.backend: {INFER: [each.infer_seconds] * 4 + [each.infer_seconds * 1.01] * 3} for each in rows
                }
                rounds |= {CONTROL: rounds["numba"]} if cell == "lstm" else {}
                run.append(Group("sine", cell, 8, 1, False, "float32", 1, seed).key, rows, rounds)
        if slower > 1:
            run.finish()


def resealed(content: Json) -> str:
    """Return a sealed file with a checksum that is right: a stranger can make one too."""
    text = written(content)
    with suppress(ValueError, RecursionError):  # what JSON's reader refuses needs no seal
        content = json.loads(text)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return f'{{"schema": 1, "checksum": "{digest}", "content": {text}}}'


def stores(folder: Path) -> Trial:
    """One or two files of a store, and then all that is done with stored runs."""
    root = folder / "runs"
    sound_store(root, seeds=2)
    folders = [run.path for run in Store(root).runs()]  # their names differ from time to time, their order does not
    files = [path for folder in folders for path in (folder / "run.json", *sorted(folder.glob("groups/*")))]
    sound = {path: path.read_bytes() for path in (*files, *root.glob("noise-*.json"))}
    contents = {path: json.loads(content)["content"] for path, content in sound.items()}
    return partial(_store_trial, root, sound, contents)


def noises(folder: Path) -> Trial:
    """The machine's noise, and the report on a run that is made after it."""
    store = Store(folder / "runs")
    store.keep_noise("testor-2c", KnownNoise(Interval(1.0, 0.99, 1.01, 10), "2026-11-23"))
    (path,) = store.root.glob("noise-*.json")
    content = json.loads(path.read_bytes())["content"]
    description = Description(Settings(), {})

    def trial(_: Path, random: Random) -> str:
        path.write_bytes(encoded(resealed(damaged(content, random)), random))
        run = store.create(description.as_json(), "d", MACHINE)
        command("show", run.id, "--results", str(store.root))
        for line in Report.of(run).closing:
            if NUMBERLESS.search(line):
                raise Wrong(f"show tells {line!r}")
        shutil.rmtree(run.path)
        return "read" if "noise" in run.machine else "refused"

    return trial


def _store_trial(root: Path, sound: dict[Path, bytes], contents: dict[Path, Json], _: Path, random: Random) -> str:
    hurt = random.sample(list(contents), random.choice((1, 1, 1, 2)))
    for path in hurt:
        path.write_bytes(encoded(resealed(damaged(contents[path], random)), random))
    try:
        return use_store(root, sound, hurt)
    finally:
        for path in hurt:
            path.write_bytes(sound[path])


def use_store(root: Path, sound: dict[Path, bytes], hurt: list[Path]) -> str:
    store = Store(root)
    runs, problems = store.runs(), store.problems()
    for run in runs:
        groups = {group.key for group in run.groups()}
        lost = {path.stem for path in sound.keys() - set(hurt) if path.parent == run.path / "groups"} - groups
        if lost and not any("holds the rows that" in problem for problem in run.problems()):
            raise Wrong(f"sound groups are not read: {lost}")
        problems += run.problems()
        for record in run.records():
            sane(record)
        run.frame(), run.summary(), run.samples(), run.finished()
        if any(run.path in path.parents for path in hurt):
            show(run, root)
    for problem in problems:
        one_line(printable(problem))
    command("show", "--results", str(root))
    if len(runs) == 2:
        told = root.parent / "gate.json"
        code, _ = command("gate", runs[0].id, runs[1].id, "--json", str(told), "--results", str(root), codes=(0, 4))
        if code != 2:
            json.loads(told.read_text(encoding="utf-8"), parse_constant=_refuse)
    store.unfinished("anything")
    store.known_noise("testor-2c")
    commits = [Commit(letter * 40, f"Change {letter}", 1_700_000_000 + n) for n, letter in enumerate("ab")]
    use_readings(from_runs.read(root, commits), commits)
    return "refused" if problems else "read"


def show(run: Run, root: Path) -> None:
    """Print a run, with everything that it can be written to."""
    files = [root.parent / name for name in ("show.json", "show.csv", "show.md")]
    exports = ["--json", str(files[0]), "--export", str(files[1]), "--export", str(files[2])]
    code, text = command("show", run.id, "--results", str(root), *exports)
    if code == 0:
        json.loads(files[0].read_text(encoding="utf-8"), parse_constant=_refuse)
        if found := NUMBERLESS.search(text):
            raise Wrong(f"show printed {text[max(0, found.start() - 80) : found.end() + 20]!r}")


def sane(record: Record) -> None:
    """Hold a record that was read to what any record is, not by the code that read it. Raises Wrong."""
    again = json.loads(json.dumps(record.as_json(), allow_nan=False))
    for name, value in again.items():
        if name.endswith(("_seconds", "_bytes", "_error", "_size", "threads", "layers", "seed")) and not (
            value is None or (type(value) in (int, float) and 0 <= value < math.inf)
        ):
            raise Wrong(f"{name} is {value!r}")


def _refuse(name: str) -> None:
    raise Wrong(f"{name} was written")


# ---- asv's files -----------------------------------------------------------------------------------------------------


def use_readings(found: Readings, commits: list[Commit]) -> None:
    """Do what `rnnbench history` does of readings."""
    for problem in found.problems:
        one_line(printable(problem))
    series = in_order([reading for reading in found.readings if reading.figure in TOLD], commits)
    chosen = [one for one in series if any(value is not None for value in one.values)]
    json.dumps([as_json(one) for one in chosen], allow_nan=False)
    for section in sections(chosen):
        texts = [section.title, *section.sentences(commits), *(v for row in section.rows({}) for v in row.values())]
        for text in texts:
            if NUMBERLESS.search(text):
                raise Wrong(f"history tells {text!r}")


def asv(folder: Path) -> Trial:
    """benchmarks.json or a result, as asv has written them."""
    root = folder / "asv"
    names = ["benchmarks.json", *sorted(str(path.relative_to(ASV)) for path in ASV.glob("reference/*-*.json"))[:2]]
    sound = {root / name: (ASV / name).read_bytes() for name in names}
    (root / "reference").mkdir(parents=True)
    for path, content in sound.items():
        path.write_bytes(content)
    contents = {path: json.loads(content) for path, content in sound.items()}
    commits = [Commit(content["commit_hash"], "A change", 1_700_000_000) for content in list(contents.values())[1:]]

    def trial(_: Path, random: Random) -> str:
        path = random.choice(list(sound))
        path.write_bytes(encoded(written(damaged(contents[path], random)), random))
        try:
            found = asv_results.read(root)
            use_readings(found, commits)
            return "refused" if found.problems else "read"
        finally:
            path.write_bytes(sound[path])

    return trial


# ---- options ---------------------------------------------------------------------------------------------------------


def options(folder: Path) -> Trial:
    """What Python calls give in place of a configuration file."""
    sound = {
        "task": ["sine"],
        "cell": "gru,lstm",
        "hidden": [8, 16],
        "layers": 1,
        "seeds": 3,
        "lr": 0.01,
        "dtype": "float32",
    }
    sound |= {
        "batch": 32,
        "steps": 10,
        "quick": True,
        "bidirectional": False,
        "threads": [1],
        "seed": 0,
        "backend": ["numba"],
    }

    def trial(_: Path, random: Random) -> str:
        given = damaged(sound, random)
        given = {name: value for name, value in given.items() if name in sound} if isinstance(given, dict) else {}
        if random.random() < 0.3:
            given[random.choice(sorted(sound))] = strange(random)
        try:
            settings, _tasks = Options.of(**given).resolve()
        except UsageError as error:
            one_line(printable(str(error)))
            return "refused"
        settings.digest()
        return "read"

    return trial
