"""What a reader must know beside the figures: how models were trained, why a figure is missing, what was noisy."""

from collections.abc import Iterable, Mapping, Sequence

from rnnbench.comparison.description import TaskNote
from rnnbench.records.noise import KnownNoise
from rnnbench.records.record import Record
from rnnbench.records.statistics import PROCESSES_FOR_A_VERDICT, Interval, minimum_effect
from rnnbench.records.summary import TRAINER, Row, label, varying
from rnnbench.report.text import counted, duration, joined, percent, ranged
from rnnbench.tasks.spec import Training


def settings_line(table: Sequence[Row], training: Training) -> str | None:
    """State how the models of a table were trained, where they were, and whatever does not vary within it; None where
    it has baselines alone."""
    rows = [row for row in table if not row.is_baseline]
    if not rows:
        return None
    model = f"Model: {', '.join(_model(rows))}; {_seeds(record for row in rows for record in row.records)}."
    if not rows[0].records[0].score_name:
        return model
    adam = training.optimiser
    words = [
        f"Adam, learning rate {adam.learning_rate:g}",
        "no clipping" if adam.clip_norm is None else f"gradients clipped to norm {adam.clip_norm:g}",
        f"batch {training.batch_size}",
        counted(training.steps, "step"),
    ]
    if training.patience is not None:
        stopped = f"{counted(training.patience, 'evaluation')} without a better score on the validation part"
        words[-1] = f"at most {words[-1]}, ended by {stopped} and taken back to the best"
    if training.recurrent != "uniform":
        words.append(f"{training.recurrent} recurrent weights")
    if training.forget_bias is not None:
        words.append(f"forget bias {training.forget_bias:g}")
    return f"Training: {', '.join(words)}. {model}"


def _model(rows: Sequence[Row]) -> list[str]:
    first, several = rows[0].variant, varying(rows)
    words = {
        "hidden_size": f"hidden size {first.hidden_size}",
        "layers": counted(first.layers, "layer"),
        "bidirectional": "both directions" if first.bidirectional else "",
        "dtype": first.dtype,
        "threads": counted(first.threads, "thread"),
    }
    return [word for name, word in words.items() if word and name not in several]


def _seeds(records: Iterable[Record]) -> str:
    seeds = sorted({record.seed for record in records})
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seed{'s' if len(seeds) > 1 else ''} {joined([str(seed) for seed in seeds])}"


def timing_line(rows: Sequence[Row]) -> str | None:
    """State what one timed call computes; None where nothing was timed."""
    timed = next((record for row in rows for record in row.passed if record.infer_seconds), None)
    if timed is None:
        return None
    step = "" if timed.latency_p50_seconds is None else " A step is one time step of one sequence."
    return f"Inference: a batch of {timed.batch_size}, each {counted(timed.seq_len or 0, 'step')} long.{step}"


def inferred_line(note: TaskNote) -> str | None:
    """State what was found out about a user's table, and the scale of MASE; None of other tasks."""
    words = [f"Table: {', '.join(note.inferred)}."] if note.inferred else []
    if note.season is not None:
        words.append(f"MASE: error over the mean change in {counted(note.season, 'row')} of the training part.")
    return " ".join(words) or None


def trouble_lines(rows: Sequence[Row]) -> list[str]:
    """State why rows have dashes: rows with the same trouble share a line."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        for status in dict.fromkeys(record.status for record in row.records if record.status != "ok"):
            records = [record for record in row.records if record.status == status]
            reason = records[0].reason or "no reason was given"
            all_seeds = len(records) == len(row.records)
            where = "" if all_seeds else f", on {_seeds(records)} of {len(row.records)}"
            found.setdefault((f"{status}{where}", reason), []).append(row)
    return [f"{_which(own, rows)}: {what}: {reason}" for (what, reason), own in found.items()]


def adopted_line(rows: Sequence[Row]) -> str | None:
    """Name the rows that have a score and no training of their own; None where all that have a score trained."""
    cells = [row for row in rows if not row.is_baseline]
    adopted = [row for row in cells if any(r.score is not None and r.train_steps is None for r in row.passed)]
    return f"{_which(adopted, rows)}: scored with the weights that {TRAINER} trained." if adopted else None


def warning_lines(rows: Sequence[Row]) -> list[str]:
    """State each warning once, with the rows that gave it."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        for text in dict.fromkeys(text for record in row.records for text in record.warnings):
            found.setdefault(text, []).append(row)
    return [f"Note on {_which(own, rows)}: {text}" for text, own in found.items()]


def _which(chosen: Sequence[Row], rows: Sequence[Row]) -> str:
    """Name some of a table's rows in few words: "numpy" for all of numpy's, "lstm and gru on numpy" for two of them,
    "ridge" for a baseline."""
    several = varying(rows)
    backends: dict[str, list[str]] = {}
    for backend in dict.fromkeys(row.backend for row in chosen if not row.is_baseline):
        own = [row for row in chosen if row.backend == backend]
        every = len(own) == sum(row.backend == backend for row in rows)
        names = "" if every else joined([label(row.variant, several) for row in own])
        backends.setdefault(names, []).append(backend)
    rivals = [row.variant.cell for row in chosen if row.is_baseline]
    return joined([f"{names} on {joined(on)}" if names else joined(on) for names, on in backends.items()] + rivals)


def noise_line(noise: Interval | None, known: KnownNoise | None = None) -> str:
    """State the machine's A/A noise and the effect that it lets count. known: as `rnnbench doctor --noise` found it."""
    least = f"speeds closer than {percent(minimum_effect(noise, known.ratio if known else None))} are not told apart"
    what = "This machine's own noise (A/A, a program timed against itself in two processes)"
    found = [f"is {_noise(noise)} in this run"] if noise else []
    if known:
        found.append(f"was {_noise(known.ratio)} on {known.measured}, over {counted(known.ratio.count, 'pair')}")
    return f"{what} {joined(found)}; {least}." if found else f"{what} was not measured; {least}."


def _noise(noise: Interval) -> str:
    apart = noise.mapped(lambda ratio: ratio - 1)
    return percent(apart.value, apart.ends)


def process_line(records: Iterable[Record]) -> str | None:
    """State what too few processes leave open; None where there are enough for a verdict."""
    processes = len({record.seed for record in records})
    if processes >= PROCESSES_FOR_A_VERDICT:
        return None
    if processes == 1:
        return (
            "One seed, so one process a side: the intervals leave the spread between processes and between seeds out, "
            f"and no verdict is given; it takes --seeds {PROCESSES_FOR_A_VERDICT}."
        )
    return f"{processes} seeds, so {processes} processes a side: a verdict takes --seeds {PROCESSES_FOR_A_VERDICT}."


def compile_line(records: Iterable[Record]) -> str | None:
    """State per backend what compiling cost with a cold kernel cache and loading with a warm one; None without either.

    A case whose kernels were there already spent nothing, and does not count.
    """
    seconds: dict[tuple[str, str], list[float]] = {}
    for record in records:
        if record.compile_seconds and record.compile_cache is not None:
            seconds.setdefault((record.backend, record.compile_cache), []).append(record.compile_seconds)
    words = [
        f"{backend} {ranged(spent, duration)} with a {cache} cache"
        for (backend, cache), spent in sorted(seconds.items())
    ]
    return f"Compiling or loading kernels, in no figure above: {joined(words)}." if words else None


def machine_line(machine: Mapping[str, object]) -> str:
    """State which machine and which versions the figures are of."""
    packages, cores = machine.get("packages"), machine.get("cores")
    known = packages if isinstance(packages, Mapping) else {}
    versions = [f"{name} {version}" for name, version in known.items() if version]
    python = f"Python {machine.get('python', '?')}"
    facts = [machine.get("cpu"), counted(cores, "core") if isinstance(cores, int) else None]
    words = [str(fact) for fact in facts if fact] or ["an unknown machine"]
    return f"Measured on {', '.join(words)}; {', '.join([python, *versions])}."
