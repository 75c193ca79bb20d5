"""Any bytes at all in every kind of file that strangers send: a right result or one line, in bounded time and memory.

Half of the cases are noise; the others are sound files with a few bytes changed, which come further in. What comes
furthest are files whose structure is damaged and whose seal is right: tools/validation/fuzz.py makes any number, of
which the first are here, and the wrongs that were found by it.
"""

import json
import resource
import struct
import tempfile
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from validation import fuzz
from validation.damage import ENDLESS, nested
from validation.strangers import resealed, sound_store, use_store

import rnnbench
from rnnbench.comparison.description import Description
from rnnbench.errors import UsageError
from rnnbench.records.noise import KnownNoise
from rnnbench.records.record import Record
from rnnbench.records.statistics import Interval
from rnnbench.records.store import Store
from rnnbench.tables.options import TableOptions
from rnnbench.tables.reading import read_table

MODEL = rnnbench.Model("gru", 2, 3, 1)
SECONDS = 10.0  # of processor, for a file of some kilobytes, on any machine
MEBIBYTES = 300  # above what is held already
fuzzed = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@contextmanager
def bounded():
    """In processor time, and by the process's own high-water mark, which only ever rises."""
    start, held = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < MEBIBYTES * 1024


def one_line(error):
    text = str(error)
    assert text
    assert "\n" not in text
    assert len(text) < 2000


@st.composite
def damaged(draw, sound):
    """Some bytes of a sound file overwritten, cut out, or doubled; or noise."""
    content = bytearray(draw(st.sampled_from(sound)) if isinstance(sound, list) else sound)
    if draw(st.integers(0, 3)) == 0:
        return draw(st.binary(max_size=300))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        how = draw(st.sampled_from(["set", "cut", "insert", "truncate"]))
        if how == "set" and content:
            content[at] = draw(st.integers(0, 255))
        elif how == "cut":
            del content[at : at + draw(st.integers(1, 40))]
        elif how == "insert":
            content[at:at] = draw(st.binary(max_size=20))
        else:
            del content[at:]
    return bytes(content)


@cache
def weights(suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        rnnbench.save_weights(path, MODEL, MODEL.init(0))
        return path.read_bytes()


def loads_or_says(path, content):
    """A model that was read is whole: its parameters fit it and are finite."""
    path.write_bytes(content)
    with bounded():
        try:
            found = rnnbench.load_weights(path)
        except UsageError as error:
            one_line(error)
            return
    shapes = found.model.parameter_shapes()
    assert {name: value.shape for name, value in found.params.items()} == shapes
    assert all(np.isfinite(value).all() for value in found.params.values())


def header(entries):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + bytes(64)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TENSORS = st.dictionaries(
    st.sampled_from(["layers.0.forward.W", "head.b", "x", "__metadata__"]),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F64", "I8", "BF16", "?"]),
            "shape": st.lists(st.integers(-1, 2**40), max_size=4),
            "data_offsets": st.lists(st.integers(0, 2**60), max_size=3),
        }
    )
    | JSON,
    max_size=3,
)


@fuzzed
@given(damaged(weights(".safetensors")) | TENSORS.map(header))
def test_any_bytes_of_a_safetensors_file_are_weights_or_one_line(tmp_path_factory, content):
    loads_or_says(tmp_path_factory.mktemp("fuzz") / "a.safetensors", content)


@fuzzed
@given(st.data())
def test_any_bytes_of_an_onnx_file_are_weights_or_one_line(tmp_path_factory, data):
    pytest.importorskip("onnx")
    content = data.draw(damaged(weights(".onnx")))
    loads_or_says(tmp_path_factory.mktemp("fuzz") / "a.onnx", content)


FIELDS = (
    st.text(max_size=6) | st.floats().map(str) | st.sampled_from(["", "1", "1e400", "nan", '"', '"a\nb"', "=1", "\0"])
)
TABLES = st.lists(st.lists(FIELDS, max_size=5).map(",".join), max_size=12).map(
    lambda lines: "\n".join(["a,b", "1,2", *lines]).encode("utf-8", "surrogatepass")
)


@fuzzed
@given(TABLES | damaged(b"a,b\n" + b"1,2.5\n" * 30), st.sampled_from(["a", "b", "c", "\n"]))
def test_any_table_is_read_or_refused_in_one_line(tmp_path_factory, content, column):
    path = tmp_path_factory.mktemp("fuzz") / "a.csv"
    path.write_bytes(content)
    with bounded():
        try:
            values = read_table(TableOptions(path)).numbers(column)
        except UsageError as error:
            one_line(error)
            return
    assert len(values) <= content.count(b"\n") + content.count(b"\r") + 1
    assert not np.isinf(values).any()


@cache
def stored_files():
    """(run.json, a group's file, a noise file) of a sound store, and the names they have in it."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        run = store.create({"schema": 1, "settings": {}, "tasks": {}}, "digest", {"id": "m"})
        run.append("g0", [ROW], {"numpy": {"infer_seconds": [0.1]}})
        store.keep_noise("m", KnownNoise(Interval(1.0, 0.9, 1.1, 5), "2026-11-23"))
        paths = [run.path / "run.json", run.path / "groups" / "g0.json", store.root / "noise-m.json"]
        return [(str(path.relative_to(folder)), path.read_bytes()) for path in paths]


ROW = Record("adding", "gru", "numpy", 2, 8, 1, False, "float32", 1, 0, "ok", score=0.5)


def finite_json(value):
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


PARTS = ("run", "key", "records", "samples", "number", "created", "digest", "settings", "machine")
FORGED = st.fixed_dictionaries({}, optional=dict.fromkeys(PARTS, JSON)).filter(finite_json)


@fuzzed
@given(st.integers(0, 2), damaged([content for _, content in stored_files()]) | FORGED.map(resealed).map(str.encode))
def test_any_file_of_a_store_is_read_or_named_and_hides_no_other(tmp_path_factory, which, content):
    root = tmp_path_factory.mktemp("fuzz")
    for number, (name, sound) in enumerate(stored_files()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if number == which else sound)
    store = Store(root)
    with bounded():
        known, runs, problems = store.known_noise("m"), store.runs(), store.problems()
        for run in runs:
            records, troubles = run.records(), run.problems()
            assert records == [ROW] or troubles or which == 1
            for problem in troubles:
                one_line(problem)
            try:
                Description.from_json(run.settings)
            except UsageError as error:
                one_line(error)
    assert runs or problems
    assert known is not None or which == 2
    for problem in problems:
        one_line(problem)


ROWS = st.dictionaries(st.sampled_from([*ROW.as_json(), "horsepower"]), JSON, max_size=6)


@fuzzed
@given(ROWS, st.booleans())
def test_any_row_is_a_record_or_one_line(changes, whole):
    row = {**ROW.as_json(), **changes} if whole else changes
    try:
        found = Record.from_json(row)
    except ValueError as error:
        one_line(error)
        return
    assert Record.from_json(found.as_json()) == found
    json.dumps(found.as_json(), allow_nan=False)


@pytest.mark.parametrize(("kind", "count"), [(kind, {"stores": 12, "excel": 40}.get(kind, 120)) for kind in fuzz.KINDS])
def test_a_file_of_damaged_structure_is_read_or_told_in_one_line(kind, count):
    pytest.importorskip({"onnx": "onnx", "parquet": "pyarrow", "excel": "openpyxl"}.get(kind, "json"))
    ends, wrong = fuzz.trials(kind, 0, count)
    assert wrong == []
    assert set(ends) == {"read", "refused"}  # the damage is neither too small nor too large to mean anything
    assert sum(ends.values()) == count


def change(where, to):
    def changed(content):
        *path, last = where
        for name in path:
            content = content[name]
        content[last] = to(content[last]) if callable(to) else to

    return changed


RUN, GROUP = "run.json", "groups/sine_gru_h8-l1-uni_float32_t1_s0.json"
ROUNDS = ("samples", "numpy", "infer_seconds")
FOUND = {
    "a number that is infinite once it is read": (RUN, change(("settings", "seed"), ENDLESS), "beyond all bounds"),
    "a whole number without end": (GROUP, change(("records", 0, "score"), 10**400), "score cannot be 1000"),
    "a number whose square is infinite": (GROUP, change(("records", 0, "score"), 1e300), "score cannot be 1e+300"),
    "a number whose inverse is infinite": (GROUP, change(("records", 0, "score"), 5e-324), "score cannot be 5e-324"),
    "a time of nothing": (GROUP, change(("records", 0, "infer_seconds"), 0.0), "infer_seconds cannot be 0.0"),
    "no size at all": (GROUP, change(("records", 0, "hidden_size"), 0), "are 0 of a baseline alone"),
    "a truth for a number": (GROUP, change(("records", 0, "seed"), True), "seed cannot be True"),
    "a cache of no kind": (GROUP, change(("records", 0, "compile_cache"), "3"), "compile_cache cannot be '3'"),
    "half a character": (GROUP, change(("records", 0, "task"), "\ud800"), "task cannot be"),
    "a name without end": (GROUP, change(("records", 0, "cell"), "x" * 10_000), "cell cannot be 'xxx"),
    "a name that is empty": (RUN, change(("",), lambda _: 0), "'' is unknown"),
    "a list for a text": (RUN, change(("created",), []), "created cannot be []"),
    "a machine that is no name": (RUN, change(("machine", "id"), None), "id cannot be None"),
    "brackets without end": (RUN, change(("machine", "cpu"), nested(400)), "cpu cannot be"),
    "a row twice": (GROUP, change(("records",), lambda rows: [*rows, rows[0]]), "two rows of one backend"),
    "rows of two seeds": (GROUP, change(("records", 0, "seed"), 1), "rows of several groups"),
    "rows of another run": (GROUP, change(("records", 0, "run_id"), "20200101-000000-abcdef"), "another run or group"),
    "rounds of no time": (GROUP, change(ROUNDS, [0.0, 1.0, 2.0]), "infer_seconds cannot be 0.0"),
    "rounds that are texts": (GROUP, change(ROUNDS, ["1"]), "infer_seconds cannot be '1'"),
    "rounds of another number": (GROUP, change(ROUNDS, [1e-3]), None),
    "a row without rounds": (GROUP, change(("samples",), {}), None),
    "counts that are missing": (GROUP, change(("records", 0, "parameters"), None), None),
}


class Holder(dict):
    """An object in which any name can be looked up, to be set."""

    def __missing__(self, name):
        return None


@pytest.fixture(scope="module")
def sound_runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("sound")
    sound_store(root, seeds=2)
    return root


@pytest.mark.parametrize("name", FOUND)
def test_what_is_beyond_its_type_or_bounds_is_named_and_hides_nothing_else(sound_runs, name):
    file, damage, why = FOUND[name]
    sound = {path: path.read_bytes() for path in sound_runs.rglob("*.json")}
    run = Store(sound_runs).runs()[0]
    content = json.loads(sound[run.path / file], object_hook=Holder)["content"]
    damage(content)
    (run.path / file).write_text(resealed(content))
    try:
        assert use_store(sound_runs, sound, [run.path / file]) == ("refused" if why else "read")
        told = [*Store(sound_runs).problems(), *run.problems()]
        assert [why in problem for problem in told] == ([True] if why else [])
        for problem in told:
            one_line(problem)
    finally:
        (run.path / file).write_bytes(sound[run.path / file])


def test_a_group_that_lies_there_twice_counts_once(sound_runs):
    run = Store(sound_runs).runs()[0]
    before = [(row.value("score"), len(row.records)) for row in run.rows()]
    content = json.loads((run.path / GROUP).read_bytes())["content"]
    again = run.path / "groups" / "again.json"
    again.write_text(resealed({**content, "key": "again"}))
    try:
        assert [(row.value("score"), len(row.records)) for row in run.rows()] == before
        (problem,) = run.problems()
        assert problem.endswith(f"again.json holds the rows that {Path(GROUP).name} holds; skipped")
    finally:
        again.unlink()
