"""Any bytes at all in every kind of file that strangers send: a right result or one line, in bounded time and memory.

Half of the cases are noise; the others are sound files with a few bytes changed, which come further in.
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

import rnnbench
from rnnbench.comparison.description import Description
from rnnbench.errors import UsageError
from rnnbench.records import sealed
from rnnbench.records.noise import KnownNoise
from rnnbench.records.record import Record
from rnnbench.records.statistics import Interval
from rnnbench.records.store import Store
from rnnbench.tasks.table import read_columns

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
            values = read_columns(path, [column])
        except UsageError as error:
            one_line(error)
            return
    assert values.shape[1] == 1
    assert len(values) <= content.count(b"\n") + content.count(b"\r") + 1
    assert np.isfinite(values).all()


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


def resealed(content):
    """With a checksum that is right: a stranger can make one too."""
    return json.dumps({"schema": 1, "checksum": sealed._checksum(content), "content": content}).encode()


def finite_json(value):
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


PARTS = ("run", "key", "records", "samples", "number", "created", "digest", "settings", "machine")
FORGED = st.fixed_dictionaries({}, optional=dict.fromkeys(PARTS, JSON)).filter(finite_json)


@fuzzed
@given(st.integers(0, 2), damaged([content for _, content in stored_files()]) | FORGED.map(resealed))
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
