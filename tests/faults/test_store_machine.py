"""The store as a state machine: whatever happens in whatever order, what was acknowledged is there, once, unchanged."""

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from rnnbench import atomic
from rnnbench.records.record import Record
from rnnbench.records.store import Store

KEYS = st.sampled_from(["g0", "g1", "g2"])
SCORES = st.integers(-(2**52), 2**52).map(lambda whole: whole / 2**52)
STORES = ("here", "there")


class Killed(BaseException):
    """The process is gone: nothing of ours runs after it."""


def rows(key, score):
    """A key stands for a seed."""
    seed = int(key[1:])
    return [Record("adding", "gru", backend, 2, 8, 1, False, "float32", 1, seed, "ok", score=score) for backend in "ab"]


class Torn:
    """A file that takes so many bytes, and then the process is killed."""

    def __init__(self, file, room):
        self._file, self._room = file, room

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def write(self, content):
        self._file.write(content[: self._room])
        self._file.flush()
        if len(content) > self._room:
            raise Killed

    def flush(self):
        self._file.flush()

    def fileno(self):
        return self._file.fileno()


class Machine(RuleBasedStateMachine):
    """Two stores, each opened by any number of writers. sure: by store, run and key, the score that was acknowledged.
    tried: what a writer was killed over since, which may be there in its place."""

    runs = Bundle("runs")

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="rnnbench-store-"))
        self.sure, self.tried = {}, {}

    def teardown(self):
        shutil.rmtree(self.folder)

    def store(self, name):
        return Store(self.folder / name)

    def open(self, place):
        """A writer of its own: nothing is shared with one before but the files."""
        name, run_id = place
        return self.store(name).find(run_id)

    @initialize(target=runs)
    def begin(self):
        return multiple(self._create("here"), self._create("there"))

    @rule(target=runs, name=st.sampled_from(STORES))
    def create(self, name):
        return self._create(name)

    def _create(self, name):
        run = self.store(name).create({"seeds": 2}, "digest", {"id": "m"})
        self.sure[name, run.id], self.tried[name, run.id] = {}, {}
        return name, run.id

    @rule(place=runs, key=KEYS, score=SCORES)
    def append(self, place, key, score):
        self.open(place).append(key, rows(key, score), {"a": {"train_losses": [score]}})
        self._acknowledged(place, key, score)

    @rule(place=runs, key=KEYS, one=SCORES, other=SCORES)
    def append_by_two_writers(self, place, key, one, other):
        """Both were opened before either wrote; the later one's word stands."""
        first, second = self.open(place), self.open(place)
        first.append(key, rows(key, one), {})
        second.append(key, rows(key, other), {})
        self._acknowledged(place, key, other)

    def _acknowledged(self, place, key, score):
        self.sure[place][key] = score
        self.tried[place].pop(key, None)

    @rule(place=runs, key=KEYS, score=SCORES, room=st.integers(0, 3000), nameless=st.booleans())
    def killed_at_a_byte(self, place, key, score, room, nameless):
        self._killed(lambda run: run.append(key, rows(key, score), {}), place, room, nameless)
        self.tried[place].setdefault(key, set()).add(score)

    @rule(place=runs, room=st.integers(0, 1000), nameless=st.booleans())
    def killed_while_finishing(self, place, room, nameless):
        self._killed(lambda run: run.finish(), place, room, nameless)

    def _killed(self, action, place, room, nameless):
        run, fdopen, unnamed, unlink = self.open(place), os.fdopen, atomic._unnamed, Path.unlink
        os.fdopen = lambda *arguments, **keywords: Torn(fdopen(*arguments, **keywords), room)
        Path.unlink = lambda *_, **__: None  # a process that is gone cleans nothing up
        if not nameless:
            atomic._unnamed = lambda *_: None
        try:
            action(run)
        except Killed:
            pass
        finally:
            os.fdopen, atomic._unnamed, Path.unlink = fdopen, unnamed, unlink

    @rule(place=runs)
    def finish(self, place):
        self.open(place).finish()

    @rule(target=runs, place=runs)
    def merge(self, place):
        """By copying a run's folder into the other store, where it may be already, with groups of its own."""
        name, run_id = place
        other = STORES[1 - STORES.index(name)]
        target = other, run_id
        shutil.copytree(self.folder / name / run_id, self.folder / other / run_id, dirs_exist_ok=True)
        for book in (self.sure, self.tried):
            book.setdefault(target, {}).update(book[place])
        for key in self.sure[place].keys() | self.tried[place].keys():
            options = self.tried[place].get(key, set()) | (
                {self.sure[place][key]} if key in self.sure[place] else set()
            )
            self.tried[target][key] = self.tried[target].get(key, set()) | options
        return target

    @invariant()
    def everything_acknowledged_is_there_once(self):
        for name in STORES:
            store = self.store(name)
            expected = {run_id for where, run_id in self.sure if where == name}
            assert {run.id for run in store.runs()} == expected
            assert store.problems() == []
            for run in store.runs():
                self._check(run, self.sure[name, run.id], self.tried[name, run.id])

    def _check(self, run, sure, tried):
        assert run.problems() == []
        groups = {group.key: group for group in run.groups()}
        assert len(groups) == len(run.groups())
        assert sure.keys() <= groups.keys() <= sure.keys() | tried.keys()
        for key, group in groups.items():
            (score,) = {record.score for record in group.records}
            assert [record.backend for record in group.records] == ["a", "b"]
            assert score in tried.get(key, set()) | ({sure[key]} if key in sure else set())


Machine.TestCase.settings = settings(max_examples=30, stateful_step_count=20)


def test_whatever_happens_nothing_acknowledged_is_lost_or_doubled():
    Machine.TestCase("runTest").runTest()
