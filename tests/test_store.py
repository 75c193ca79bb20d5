"""Runs on disk: whole or not there, whatever is stopped, damaged or put beside them."""

import json
import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rnnbench import atomic
from rnnbench.errors import UsageError
from rnnbench.records import sealed, store
from rnnbench.records.noise import KnownNoise
from rnnbench.records.record import Record
from rnnbench.records.statistics import Interval
from rnnbench.records.store import Store


def row(seed=0, backend="numpy", **columns):
    return Record("adding", "gru", backend, 2, 8, 1, False, "float32", 1, seed, "ok", **columns)


@pytest.fixture
def runs(tmp_path):
    return Store(tmp_path / "results" / "runs")


@pytest.fixture
def run(runs):
    return runs.create({"seeds": 2}, "d1", {"id": "m"})


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_what_was_appended_is_read_again_by_another_store(runs, run):
    rows = [row(score=0.25, warnings=("one", "two")), row(backend="numba", score=None)]
    run.append("g0", rows, {"numpy": {"infer_seconds": [0.1, 0.2]}})
    run.append("g1", [row(1)], {})
    again = Store(runs.root).find("latest")
    assert again.id == run.id
    assert (again.settings, again.digest, again.machine) == ({"seeds": 2}, "d1", {"id": "m"})
    assert again.records() == [*rows, row(1)]
    assert again.samples() == {"g0": {"numpy": {"infer_seconds": [0.1, 0.2]}}, "g1": {}}
    assert again.finished() == {"g0", "g1"}
    assert again.problems() == []


def test_a_run_is_unfinished_until_it_is_finished(runs, run):
    assert runs.unfinished("d1").id == run.id
    assert runs.unfinished("another") is None
    run.finish()
    assert runs.unfinished("d1") is None
    assert runs.find(run.id).complete


def test_runs_are_found_by_id_prefix_or_latest(runs, run):
    second = runs.create({}, "d2", {})
    assert runs.find(run.id).id == run.id
    assert runs.find("latest").id == second.id
    with pytest.raises(UsageError, match="stands for 2 runs"):
        runs.find("20")
    near = run.id[:-1] + ("0" if run.id[-1] != "0" else "1")
    with pytest.raises(UsageError, match="did you mean"):
        runs.find(near)
    for foreign in ("", "../..", "/etc", "a\0b", "x" * 300):
        with pytest.raises(UsageError):
            runs.find(foreign)


def test_a_store_without_runs_says_how_to_make_one(runs):
    with pytest.raises(UsageError, match="rnnbench compare"):
        runs.find("latest")


def test_the_latest_run_is_the_one_made_last_even_if_the_clock_was_set_back(runs, run, monkeypatch):
    class Earlier(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2001, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(store, "datetime", Earlier)
    second = runs.create({}, "d1", {})
    assert second.id.startswith("2001")
    assert runs.find("latest").id == second.id
    assert runs.unfinished("d1").id == second.id


def test_two_runs_made_at_once_do_not_meet(runs):
    assert len({runs.create({}, "d", {}).id for _ in range(20)}) == 20


def test_a_folder_that_cannot_be_written_is_one_error_before_any_work(tmp_path):
    (tmp_path / "results").write_text("a file where the folder should be")
    with pytest.raises(UsageError, match=r"cannot write to .*--results DIR"):
        Store(tmp_path / "results").create({}, "d", {})


@pytest.mark.parametrize("fault", ["replace", "fsync", "fdopen"])
def test_whichever_write_fails_the_store_loads_and_nothing_half_written_is_left(tmp_path, monkeypatch, fault):
    """Every n-th call of the system fails once, from the first on, until a whole run needs fewer than n."""
    original, n, failures = getattr(os, fault), 0, 1
    while failures:
        n, failures, calls = n + 1, 0, 0

        def failing(*arguments, n=n, **keywords):
            nonlocal calls, failures
            calls += 1
            if calls == n:
                failures += 1
                if fault == "fdopen":
                    os.close(arguments[0])
                raise OSError(28, "No space left on device")
            return original(*arguments, **keywords)

        runs = Store(tmp_path / f"{fault}{n}")
        written = []
        with monkeypatch.context() as patched:
            patched.setattr(os, fault, failing)
            with suppress(UsageError):
                run = runs.create({}, "d", {})
                for seed in range(2):
                    run.append(f"g{seed}", [row(seed)], {})
                    written.append(f"g{seed}")
                run.finish()
        # a folder that could not be synced may hold the file all the same: it is whole
        found = runs.runs()[0].finished() if runs.runs() else set()
        assert found >= set(written)
        assert runs.problems() == []
        assert not [name for name in everything(tmp_path) if ".tmp" in name or "/." in name]
    assert n > 3  # the loop did fail each of the writes of a run


def test_a_full_disk_is_told_in_one_line(run, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match=r"g0\.json: No space left on device; choose another folder"):
        run.append("g0", [row()], {})


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without a name are Linux's")
def test_a_file_has_no_name_until_it_is_whole(run, monkeypatch):
    """So that a process which is killed outright leaves nothing behind."""
    seen = []
    original = os.fsync

    def looking(descriptor):
        seen.append(everything(run.path))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", looking)
    run.append("g0", [row()], {})
    assert seen[0] == ["run.json"]
    assert everything(run.path) == ["groups/g0.json", "run.json"]


def test_a_file_system_without_nameless_files_will_do(run, monkeypatch):
    monkeypatch.setattr(atomic, "_unnamed", lambda *_: None)
    run.append("g0", [row()], {})
    assert run.finished() == {"g0"}
    assert everything(run.path) == ["groups/g0.json", "run.json"]


NOISE = KnownNoise(Interval(1.001, 0.99, 1.02, 10), "2026-11-23")


def test_the_noise_of_a_machine_is_kept_for_the_runs_after(runs):
    assert runs.create({}, "d", {"id": "m"}).machine == {"id": "m"}
    runs.keep_noise("m", NOISE)
    assert runs.known_noise("m") == NOISE
    assert runs.find(runs.create({}, "d", {"id": "m"}).id).machine == {"id": "m", "noise": NOISE.as_json()}
    assert runs.create({}, "d", {"id": "other"}).machine == {"id": "other"}
    assert runs.problems() == []


def test_a_damaged_noise_is_none(runs):
    runs.keep_noise("m", NOISE)
    path = runs.root / "noise-m.json"
    path.write_bytes(path.read_bytes().replace(b"1.001", b"1.101"))
    assert runs.known_noise("m") is None


def test_a_write_that_is_interrupted_leaves_the_old_file(run, monkeypatch):
    run.append("g0", [row(score=1.0)], {})

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.append("g0", [row(score=2.0)], {})
    assert [record.score for record in run.records()] == [1.0]
    assert everything(run.path) == ["groups/g0.json", "run.json"]


def test_a_flipped_bit_is_noticed_wherever_it_is(run):
    rows = [row(score=0.123)]
    run.append("g0", rows, {"numpy": {"infer_seconds": [1.5e-05]}})
    path = run.path / "groups" / "g0.json"
    whole = path.read_bytes()
    noticed = 0
    for position in range(0, len(whole), 7):
        for bit in (0, 5):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ (1 << bit)]) + whole[position + 1 :])
            if run.problems():
                noticed += 1
                assert run.records() == []
            else:  # white space became other white space, or the e of a number an E
                assert run.records() == rows
    assert noticed > 100


def test_a_torn_file_is_named_and_the_others_are_read(run):
    run.append("g0", [row()], {})
    run.append("g1", [row(1)], {})
    path = run.path / "groups" / "g0.json"
    whole = path.read_bytes()
    for length in range(0, len(whole), 50):
        path.write_bytes(whole[:length])
        assert run.finished() == {"g1"}
        assert [str(path) in problem for problem in run.problems()] == [True]


def _resealed(path, **changes):
    content = sealed.read(path)
    content.update(changes)
    sealed.write(path, content)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("g7.json", "{}", "not a file of rnnbench"),
        ("g7.json", "[" * 100_000, "not valid JSON"),
        ("g7.json", '{"content": {"a": NaN}}', "not valid JSON"),
        ("g7.json", "\x80abc", "checksum|not valid JSON"),
        ("notes.txt", "milk, bread", "not valid JSON"),
        ("g7.json", json.dumps({"schema": 99, "content": {}}), "newer than 1; update"),
        ("g7.json", json.dumps({"schema": 1, "checksum": "0", "content": {}}), "checksum"),
    ],
)
def test_a_foreign_file_is_skipped_and_named(run, name, text, why):
    run.append("g0", [row()], {})
    (run.path / "groups" / name).write_text(text, encoding="latin-1")
    assert run.finished() == {"g0"}
    (problem,) = run.problems()
    assert name in problem
    assert re.search(why, problem)


def test_a_group_of_another_run_or_name_is_not_taken(runs, run):
    other = runs.create({}, "d", {})
    other.append("g0", [row()], {})
    (run.path / "groups" / "g0.json").write_bytes((other.path / "groups" / "g0.json").read_bytes())
    (other.path / "groups" / "g1.json").write_bytes((other.path / "groups" / "g0.json").read_bytes())
    assert run.finished() == set()
    assert other.finished() == {"g0"}
    assert "another run or group" in run.problems()[0]
    assert "another run or group" in other.problems()[0]


def test_records_of_a_newer_schema_are_named_as_such(run):
    run.append("g0", [row()], {})
    path = run.path / "groups" / "g0.json"
    _resealed(path, records=[{**row().as_json(), "schema": 2, "horsepower": 3}])
    assert run.records() == []
    assert "schema 2, newer than 1; update rnnbench" in run.problems()[0]


def test_links_are_not_followed(tmp_path, runs, run):
    run.append("g0", [row()], {})
    outside = tmp_path / "outside"
    run.path.rename(outside)
    run.path.symlink_to(outside)
    assert runs.runs() == []
    second = runs.create({}, "d", {})
    (second.path / "groups" / "g0.json").symlink_to(outside / "groups" / "g0.json")
    assert second.finished() == set()
    assert "not an ordinary file" in second.problems()[0]


def test_a_damaged_run_is_named_and_does_not_hide_the_others(runs, run):
    bad = runs.create({}, "d", {})
    (bad.path / "run.json").write_text("{")
    unreadable = runs.create({}, "d", {})
    _resealed(unreadable.path / "run.json", settings="none")
    (runs.root / "notes").mkdir()
    assert [found.id for found in runs.runs()] == [run.id]
    assert len(runs.problems()) == 3


def test_nothing_is_written_that_json_cannot_hold(run):
    with pytest.raises(ValueError, match="JSON"):
        run.append("g0", [row()], {"numpy": {"step_seconds": [float("nan")]}})
    assert everything(run.path) == ["run.json"]


def test_a_file_that_is_far_too_large_is_not_read(run, monkeypatch):
    run.append("g0", [row()], {})
    monkeypatch.setattr(sealed, "LARGEST_BYTES", 100)
    assert "larger than 100 bytes" in run.problems()[0]
    assert Path(run.path / "groups" / "g0.json").is_file()


def test_a_run_killed_while_it_was_made_is_no_problem_and_one_that_lost_its_description_is(tmp_path):
    store, path = Store(tmp_path), tmp_path / "20260101-000000-abcdef"
    (path / "groups").mkdir(parents=True)
    (path / ".run.json.half").write_text("{")
    assert store.runs() == []
    assert store.problems() == []
    (path / "groups" / "1.json").write_text("{}")
    (problem,) = store.problems()
    assert "run.json" in problem


def test_a_folder_that_is_no_run_is_still_a_problem(tmp_path):
    """Neither its lack of groups nor their being a file is that of a run that never began."""
    (tmp_path / "holiday").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "groups").write_text("")
    assert len(Store(tmp_path).problems()) == 2
