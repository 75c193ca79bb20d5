"""Runs on disk: one folder each, a file per finished group, so that whatever stops a run costs one group at most.

    <root>/<run id>/run.json             settings, digest, machine, finished
    <root>/<run id>/groups/<key>.json    a group's records and the raw samples behind them
    <root>/noise-<machine id>.json       what `rnnbench doctor --noise` found; copied into the runs made after it

Every file carries a checksum and is written whole or not at all (see ``sealed.py``).
Schema history: 1, the first.
"""

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.errors import UnknownName, UsageError
from rnnbench.records import sealed
from rnnbench.records.fields import Count, Fact, Name, Positive, Size, facts, fitted, made
from rnnbench.records.noise import KnownNoise
from rnnbench.records.record import COLUMNS, Record
from rnnbench.records.summary import Row, Variant, summarise

if TYPE_CHECKING:
    from pandas import DataFrame

LATEST, RUN_FILE = "latest", "run.json"
SCORED = "_scored"  # ends the key of a group that one backend has scored, and nobody timed
INFER = "infer_seconds"  # one value per round: seconds of a call
LOSSES = "losses"  # the score's loss by test time, or by series where there are several
LEAD_SCORES = "lead_scores"  # the score by step ahead
Samples = dict[str, dict[str, Any]]  # backend, or baseline:ID -> name -> values
# What is computed with; the others are kept for people to look at.
SAMPLES = {INFER: list[Positive], LOSSES: list[float], LEAD_SCORES: list[float]}
MACHINE = {"id": Name, "cpu": Name | None, "cores": Size | None, "packages": dict[Name, Name | None]}
Signature = tuple[tuple[int, int, int, str], ...]


@dataclass(frozen=True)
class StoredGroup:
    """A finished group: one record per backend, and per backend the samples its figures were derived from; or the
    baselines of a task, a seed and a fold."""

    key: str
    records: tuple[Record, ...]
    samples: Samples

    def __post_init__(self) -> None:
        """Raise ValueError for what is not one group: rows of several sizes or seeds, or two of one backend or
        baseline."""
        for samples in self.samples.values():
            facts(SAMPLES, samples, Any)
        if len(set(map(_case, self.records))) > 1:
            raise ValueError("holds rows of several groups")
        if len({(record.backend, record.cell) for record in self.records}) < len(self.records):
            raise ValueError("holds two rows of one backend")


@dataclass(frozen=True)
class RunFacts:
    """What a run's own file says. number: counts up in a store: the order of runs, whatever the clock was set to."""

    number: Count
    created: Name
    digest: Name
    settings: dict[str, Any]
    machine: dict[str, Any]
    complete: bool


@dataclass
class Run:
    """One run's folder, made by `Store`. Files are read once, and again only where they have changed."""

    path: Path
    number: int
    created: str
    settings: dict[str, Any]
    digest: str
    machine: dict[str, Any]
    complete: bool = False
    _seen: "tuple[Signature, list[tuple[Path, StoredGroup | str]]] | None" = field(
        default=None, repr=False, compare=False
    )

    @property
    def id(self) -> str:
        return self.path.name

    def append(self, key: str, records: Iterable[Record], samples: Samples) -> None:
        """Store a finished group; on return it is on disk. Raises UsageError where it cannot be written,
        ValueError for what is not a group."""
        group = StoredGroup(key, tuple(records), samples)
        content = {"run": self.id, "key": key, "records": [r.as_json() for r in group.records], "samples": samples}
        _write(self.path / "groups" / f"{key}.json", content)

    def groups(self, scored: bool = False) -> list[StoredGroup]:
        """Return every group that can be read, oldest first; `problems` names the others.

        scored: with those that were scored on one backend, and then run again on all.
        """
        groups = [group for _, group in self._read() if isinstance(group, StoredGroup)]
        again = {f"{group.key}{SCORED}" for group in groups}
        return [group for group in groups if scored or group.key not in again]

    def finished(self) -> set[str]:
        return {group.key for group in self.groups(scored=True)}

    def records(self) -> list[Record]:
        """Return every record, oldest group first."""
        return [record for group in self.groups() for record in group.records]

    def rows(self) -> tuple[Row, ...]:
        """Return the records aggregated over their seeds."""
        return summarise(self.records())

    def samples(self) -> dict[str, Samples]:
        """Return the raw values behind the figures: group key -> backend -> name -> values, in seconds."""
        return {group.key: group.samples for group in self.groups()}

    def frame(self) -> "DataFrame":
        """Return a pandas frame with a row a record, one seed on one backend; units stand in the columns' names."""
        from pandas import DataFrame

        return DataFrame([record.as_json() for record in self.records()], columns=list(COLUMNS))

    def summary(self) -> "DataFrame":
        """Return a pandas frame with a row for each cell, backend and size, its figures over the seeds by the one
        definition of `records/figures.py`; `_low` and `_high` are the ends of 95 % intervals."""
        from pandas import DataFrame

        return DataFrame([row.as_json() for row in self.rows()])

    def problems(self) -> list[str]:
        """Return one line per file that was skipped: damaged, foreign, or of a newer schema."""
        return [f"{path} {problem}; skipped" for path, problem in self._read() if isinstance(problem, str)]

    def finish(self) -> None:
        """Mark the run as complete: nothing is left for `--resume`."""
        self.complete = True
        self._save()

    def _save(self) -> None:
        _write(self.path / RUN_FILE, {field.name: getattr(self, field.name) for field in fields(RunFacts)})

    def _read(self) -> list[tuple[Path, StoredGroup | str]]:
        paths = [p for p in (self.path / "groups").glob("*") if not p.name.startswith(".")]
        signature = tuple(sorted(_signed(path) for path in paths))
        if self._seen is None or self._seen[0] != signature:
            ordered = [self.path / "groups" / name for *_, name in signature]
            self._seen = signature, _told_apart([(path, self._read_group(path)) for path in ordered])
        return self._seen[1]

    def _read_group(self, path: Path) -> StoredGroup | str:
        try:
            content = sealed.read(path)
            if content.get("run") != self.id or f"{content.get('key')}.json" != path.name:
                return "belongs to another run or group"
            rows = tuple(Record.from_json(row) for row in fitted(list[Any], content.get("records"), "records"))
            group = StoredGroup(content["key"], rows, fitted(Samples, content.get("samples"), "samples"))
            if any(row.run_id not in ("", self.id) for row in rows):
                return "belongs to another run or group"
            return group
        except ValueError as error:
            return str(error)


def _case(record: Record) -> tuple[Variant | str, int, int | None]:
    """Return what the rows of one group share: of baselines, the task."""
    return record.task if record.is_baseline else Variant.of(record), record.seed, record.fold


def _told_apart(read: list[tuple[Path, StoredGroup | str]]) -> list[tuple[Path, StoredGroup | str]]:
    """Let a group count once: a second file of its rows would count each seed twice."""
    seen: dict[tuple[object, ...], Path] = {}
    for number, (path, group) in enumerate(read):
        if isinstance(group, StoredGroup) and group.records:
            first = seen.setdefault((*_case(group.records[0]), group.key.endswith(SCORED)), path)
            if first is not path:
                read[number] = path, f"holds the rows that {first.name} holds"
    return read


class Store:
    """All runs under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def keep_noise(self, machine_id: str, noise: KnownNoise) -> None:
        """Keep a machine's noise for its runs from now on. Raises UsageError where it cannot be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _refusal(self.root, error) from None
        _write(self._noise_path(machine_id), noise.as_json())

    def known_noise(self, machine_id: str) -> KnownNoise | None:
        """Return None where none was kept, or what was kept is damaged."""
        try:
            return KnownNoise.from_json(sealed.read(self._noise_path(machine_id)))
        except sealed.Damaged:
            return None

    def _noise_path(self, machine_id: str) -> Path:
        return self.root / f"noise-{machine_id}.json"

    def create(self, settings: dict[str, Any], digest: str, machine: dict[str, Any]) -> Run:
        """Create a run. Raises UsageError where the folder cannot be written, before any work is done."""
        if known := self.known_noise(str(machine.get("id", ""))):
            machine = {**machine, "noise": known.as_json()}
        now = datetime.now(UTC)
        number = 1 + max((run.number for run in self.runs()), default=0)
        path = self.root / f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        run = Run(path, number, now.isoformat(timespec="seconds"), settings, digest, machine)
        try:
            (path / "groups").mkdir(parents=True)
        except OSError as error:
            raise _refusal(self.root, error) from None
        try:
            run._save()
        except BaseException:
            with suppress(OSError):
                (path / "groups").rmdir()
                path.rmdir()
            raise
        return run

    def runs(self) -> list[Run]:
        """Return every run that can be read, oldest first; `problems` names the others."""
        found = [entry for _, entry in self._read() if isinstance(entry, Run)]
        return sorted(found, key=lambda run: (run.number, run.created, run.id))

    def problems(self) -> list[str]:
        """Return one line per folder that looks like a run and cannot be read."""
        return [f"{path} {problem}; skipped" for path, problem in self._read() if isinstance(problem, str)]

    def find(self, run_id: str) -> Run:
        """Return the run of this id, the only one whose id starts so, or ``latest``. Raises UsageError."""
        runs = self.runs()
        if not runs:
            raise UsageError(f"there are no runs in {self.root}; make one with `rnnbench compare`")
        if run_id == LATEST:
            return runs[-1]
        matches = [run for run in runs if run_id and run.id.startswith(run_id)]
        if len(matches) > 1:
            ids = ", ".join(run.id for run in matches)
            raise UsageError(f"{run_id!r} stands for {len(matches)} runs: {ids}; give more of the id")
        if not matches:
            raise UnknownName("run", run_id, [run.id for run in runs])
        return matches[0]

    def unfinished(self, digest: str) -> Run | None:
        """Return the newest run with this digest of settings that still lacks groups."""
        return next((run for run in reversed(self.runs()) if run.digest == digest and not run.complete), None)

    def _read(self) -> list[tuple[Path, Run | str]]:
        """Read every folder; a link is not followed: it could lead out of the store."""
        try:
            paths = sorted(p for p in self.root.glob("*") if p.is_dir() and not p.is_symlink())
        except OSError as error:
            raise UsageError(f"cannot read {self.root}: {error.strerror}; choose with --results DIR") from None
        found = [(path, _read_run(path)) for path in paths if not path.name.startswith(".")]
        return [(path, entry) for path, entry in found if isinstance(entry, Run) or not _unborn(path)]


def _unborn(path: Path) -> bool:
    """Tell whether this is what a run leaves that is killed while it is made, before anything could be stored."""
    with suppress(OSError):
        return RUN_FILE not in os.listdir(path) and not os.listdir(path / "groups")
    return False


def _read_run(path: Path) -> Run | str:
    try:
        found = made(RunFacts, sealed.read(path / RUN_FILE))
        facts(MACHINE, found.machine, Fact | dict[Name, Fact])
    except ValueError as error:
        return f"has a run.json that is none: {error}"
    return Run(path, **vars(found))


def _write(path: Path, content: dict[str, Any]) -> None:
    try:
        sealed.write(path, content)
    except OSError as error:
        raise _refusal(path, error) from None


def _refusal(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot write to {path}: {error.strerror or error}; choose another folder with --results DIR")


def _signed(path: Path) -> tuple[int, int, int, str]:
    """Return what changes when a file does, its age first."""
    try:
        status = path.lstat()
        return status.st_mtime_ns, status.st_size, status.st_ino, path.name
    except OSError:
        return 0, 0, 0, path.name
