"""The parts of a measurement, each alone: clocks, rounds, errors and tolerances, operations, memory, environment."""

import dataclasses
import json
import os
import subprocess
import sys
import zipfile
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest

from rnnbench import clock
from rnnbench.backends.numpy_reference import NumpyBackend
from rnnbench.comparison import arrays, trees
from rnnbench.comparison.actions import CaseActions
from rnnbench.comparison.backend_run import BackendRun, DraftRecord, RunSamples
from rnnbench.comparison.case_inputs import timed_batch
from rnnbench.comparison.fresh_inputs import FreshInputs
from rnnbench.comparison.learning import _step_and_total
from rnnbench.comparison.plan import Group
from rnnbench.comparison.timing import _summarise
from rnnbench.machine import environment
from rnnbench.model import Model
from rnnbench.records.comparisons import INFER
from rnnbench.records.record import Record
from rnnbench.tasks.spec import Data, Split
from rnnbench.verify import parity
from rnnbench.verify.flops import forward_flops
from rnnbench.verify.reference import Outputs
from rnnbench.workers.failure import Failure
from rnnbench.workers.sandbox import worker_cores


class FakeClock:
    """Stands still but for what calls take."""

    def __init__(self, seconds_a_call):
        self.now, self.calls, self.seconds_a_call = 0.0, 0, seconds_a_call

    def __call__(self):
        return self.now

    def call(self):
        self.calls += 1
        self.now += self.seconds_a_call
        return self.calls


@pytest.mark.parametrize("seconds", [1e-7, 1e-5, 0.0011, 0.004999, 0.005, 2.0])
def test_calibration_finds_a_sample_that_is_long_enough_and_not_much_longer(seconds):
    fake = FakeClock(seconds)
    calls = clock.calibrated(fake.call, 0.005, fake).calls
    assert calls * seconds >= 0.005 * (1 - 1e-9)
    assert calls == 1 or calls * seconds < 0.005 * 2 + seconds
    assert fake.calls <= 4 * calls + 1  # finding out costs no more than a few samples


def test_calibration_ends_even_if_the_clock_stands_still():
    fake = FakeClock(0.0)
    assert clock.calibrated(fake.call, 0.005, fake).calls == clock.MOST_CALLS


def test_a_sample_is_the_time_of_its_calls_and_keeps_the_last_result():
    fake = FakeClock(0.25)
    assert clock.timed(fake.call, 4, fake) == (1.0, 4)


def test_the_collector_is_off_inside_a_timed_loop_and_on_again_after():
    import gc

    assert gc.isenabled()
    _, inside = clock.timed(gc.isenabled, 1)
    assert inside is False
    assert gc.isenabled()


def test_everybody_is_timed_once_a_round_in_an_order_that_changes():
    names = ["a", "b", "c", "d"]
    order = list(clock.interleaved(names, 20, Random(0)))
    by_round = [order[start : start + len(names)] for start in range(0, len(order), len(names))]
    assert len(by_round) == 20
    assert all(sorted(played) == names for played in by_round)
    assert len({tuple(played) for played in by_round}) > 5


def test_the_compiling_step_counts_as_the_median_one():
    assert _step_and_total([9.0, 1.0, 2.0, 3.0]) == (2.0, 8.0)
    assert _step_and_total([9.0]) == (9.0, 9.0)


@pytest.mark.parametrize(("wanted", "threads", "refused"), [(1.02, 1, False), (1.9, 1, True), (1.9, 2, False)])
def test_a_backend_whose_threads_are_too_many_is_refused(wanted, threads, refused):
    group = Group("t", "gru", 4, 1, False, "float32", threads, 0)
    batch = Split(np.zeros((5, 8, 1), np.float32), np.zeros((8, 1), np.float32))
    case = SimpleNamespace(group=group, batch=batch, model=Model("gru", 1, 4, 1))
    run = BackendRun("x", None, samples=RunSamples(infer_seconds=[0.1] * 7, infer_threads=[wanted] * 7), confirmed=1.0)
    if refused:
        with pytest.raises(Failure, match=r"used 1\.9 threads where 1 is allowed"):
            _summarise(run, case)
    else:
        _summarise(run, case)
        assert run.record.infer_seconds == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("sample_seconds", "rounds_there_are"),
    [(0.0, 51), (0.005, 51), (0.01, 41), (0.02, 21), (0.03, 13), (0.1, 7), (9.0, 7)],
)
def test_short_samples_are_taken_more_often(sample_seconds, rounds_there_are):
    assert clock.count(sample_seconds) == rounds_there_are


def test_an_error_is_relative_to_the_largest_reference_value_of_the_tensor():
    reference = np.array([[2.0, -4.0]])
    assert parity.error(np.array([[2.0, -4.4]]), reference) == pytest.approx(0.1)
    assert parity.error(np.zeros(2), np.zeros(2)) == 0
    assert parity.error(np.full(2, 0.5), np.zeros(2)) == 0.5
    found = parity.deviation({"y": reference * 1.5, "c": reference}, {"y": reference, "c": reference})
    assert found == parity.Deviation(0.5, "y")


def test_a_gradient_that_cancels_is_measured_against_a_thousandth_of_the_largest():
    references = {"large": np.array([10.0]), "tiny": np.array([1e-9])}
    values = {"large": np.array([10.0]), "tiny": np.array([2e-9])}
    assert parity.gradient_deviation(values, references).error == pytest.approx(1e-9 / (1e-3 * 10))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda y: {}, "left out y"),
        (lambda y: {"y": y, "z": y}, "gave z"),
        (lambda y: {"y": y[:1]}, "must be float32"),
        (lambda y: {"y": y.astype("float64")}, "must be float32"),
        (lambda y: {"y": np.full_like(y, np.nan)}, "NaN or infinity in y"),
        (lambda y: {"y": y}, None),
    ],
)
def test_what_cannot_be_compared_is_said_in_words(change, complaint):
    y = np.ones((2, 3), np.float32)
    found = parity.malformed(change(y), {"y": y.astype("float64")}, "float32")
    assert (found is None) if complaint is None else (complaint in found)


def test_a_tolerance_widens_with_what_rounding_alone_does_and_not_without_end():
    assert parity.widened(1e-5, 1e-7) == 1e-5
    assert parity.widened(1e-5, 1e-5) == 4e-5
    assert parity.widened(1e-5, 1.0) == 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tolerances_pass_rounding_and_refuse_a_percent(cell_id, dtype):
    """The NumPy backend in the row's dtype against float64: the tolerance leaves room above its rounding (measured:
    a tenth or less), and a weight that is off by a percent is far outside."""
    rng = np.random.default_rng(1)
    model = Model(cell_id, 3, 16, 2, layers=2, bidirectional=True, readout="all", dtype=dtype)
    params, x = model.init(0), rng.standard_normal((40, 8, 3)).astype(dtype)
    wide = {name: value.astype("float64") for name, value in params.items()}
    oracle = NumpyBackend(1).session(dataclasses.replace(model, dtype="float64"), wide)
    reference = {"y": oracle.forward(x.astype("float64"))[0]}

    def error(weights):
        return parity.deviation({"y": NumpyBackend(1).session(model, weights).forward(x)[0]}, reference).error

    assert error(params) < parity.FORWARD_TOLERANCE[dtype] / 3
    assert error({**params, "head.W": params["head.W"] * 1.01}) > parity.FORWARD_TOLERANCE[dtype] * 100


def test_operations_are_two_for_each_weight_used():
    model = Model("lstm", input_size=3, hidden_size=5, output_size=2, layers=2, bidirectional=True, readout="last")
    first, second = 4 * 5 * (3 + 5), 4 * 5 * (10 + 5)  # per direction: gates x units x (inputs + units)
    assert forward_flops(model, T=7, B=11) == 2 * 11 * (7 * 2 * (first + second) + 2 * 10)
    every = dataclasses.replace(model, readout="all")
    assert forward_flops(every, T=7, B=11) == 2 * 11 * 7 * (2 * (first + second) + 2 * 10)
    no_recurrence = Model("mingru", 3, 5)
    assert forward_flops(no_recurrence, T=7, B=1) == 2 * 7 * 2 * 5 * 3


def test_arrays_travel_without_pickles(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(ValueError, match="allow_pickle"):
        arrays.save(path, {"x": np.array([{}], dtype=object)})
    np.savez(path, x=np.array([print], dtype=object))
    with pytest.raises(Failure, match="allow_pickle"):
        arrays.load(path)


def a_link(path):
    arrays.save(path.with_name("b.npz"), {"x": np.zeros(1)})
    path.symlink_to(path.with_name("b.npz"))


def a_bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(50_000_000))


UNREADABLE = {
    "absent": lambda path: None,
    "a pipe": lambda path: os.mkfifo(path),
    "a folder": lambda path: path.mkdir(),
    "a link": a_link,
    "empty": lambda path: path.write_bytes(b""),
    "no archive": lambda path: path.write_bytes(b"no archive at all"),
    "a sparse file without end": lambda path: os.truncate(path, path.write_bytes(b"x") << 40),
    "more inside than a process may hold": a_bomb,
    "a header that lies": lambda path: path.write_bytes(lie(path)),
}


def lie(path):
    arrays.save(path, {"x": np.zeros(3)})
    return path.read_bytes().replace(b"(3,)", b"(9,)")


@pytest.mark.skipif(os.name != "posix", reason="pipes and links")
@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_file_that_a_worker_left_is_regular_bounded_and_whole_or_its_rows_fault(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(arrays, "memory_limit", lambda: 10_000_000)
    UNREADABLE[kind](tmp_path / "a.npz")
    with pytest.raises(Failure, match="its file of arrays cannot be read") as caught:
        arrays.load(tmp_path / "a.npz")
    assert caught.value.status == "bad_output"


def test_a_tree_of_arrays_travels_whole(tmp_path):
    split = Split(np.ones((3, 2, 1)), np.zeros((3, 2), np.int64), np.array([1, 3]), every_step=True)
    tree = [
        {"array": np.arange(3), "by name": 0.1 + 0.2},
        [split, None, True, "x"],
        Outputs({"y": np.zeros(2)}, {"y": 1.5}),
    ]
    trees.save_tree(tmp_path / "t.npz", tree)
    named, (found, *plain), outputs = trees.load_tree(tmp_path / "t.npz")
    np.testing.assert_array_equal(named.pop("array"), np.arange(3))
    assert (named, plain) == ({"by name": 0.1 + 0.2}, [None, True, "x"])
    assert type(found) is Split
    np.testing.assert_array_equal(found.lengths, split.lengths)
    assert outputs.scales == {"y": 1.5}


def test_a_split_travels_whole(tmp_path):
    split = Split(np.ones((3, 2, 1)), np.zeros((3, 2), np.int64), np.array([1, 3]), every_step=True)
    arrays.save_split(tmp_path / "s.npz", split)
    again = arrays.load_split(tmp_path / "s.npz")
    assert again.every_step
    for name in ("x", "target", "lengths"):
        assert np.array_equal(getattr(again, name), getattr(split, name))
    arrays.save_split(tmp_path / "s.npz", dataclasses.replace(split, lengths=None))
    assert arrays.load_split(tmp_path / "s.npz").lengths is None


def test_data_are_rounded_to_the_rows_dtype_and_class_indices_left_alone():
    x = np.full((2, 1, 1), 0.1)
    for target, dtype in ((np.array([3]), np.int64), (x[-1], np.float32)):
        cast = arrays.cast(Data(Split(x, target), Split(x, target)), "float32")
        assert cast.train.x.dtype == cast.test.x.dtype == np.float32
        assert cast.train.target.dtype == cast.test.target.dtype == dtype


def test_the_timed_batch_repeats_the_rows_of_a_small_test_split():
    split = Split(np.arange(3.0).reshape(1, 3, 1), np.arange(3.0)[:, None])
    assert timed_batch(split, 7).x.ravel().tolist() == [0, 1, 2, 0, 1, 2, 0]


PEAKS = """
import numpy as np
from rnnbench.machine import peak_memory
assert peak_memory.peak_bytes() > 10 * 2**20
if peak_memory.reset_peak():
    before = peak_memory.peak_bytes()
    block = np.ones(64 * 2**20, np.uint8)
    del block
    assert peak_memory.peak_bytes() > before + 48 * 2**20
    peak_memory.reset_peak()
    assert peak_memory.peak_bytes() < before + 48 * 2**20
"""


def test_peak_memory_sees_what_was_held_and_let_go_of():
    """In a process of its own: of one that has held much, a kernel takes back pages that lie idle meanwhile."""
    subprocess.run([sys.executable, "-c", PEAKS], check=True)


def test_the_environment_is_json_and_names_no_host():
    import platform

    facts = environment.machine()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["cores"] >= 1
    assert facts["packages"]["numpy"] == np.__version__
    if len(platform.node()) > 3:
        assert platform.node() not in json.dumps(facts)


def test_a_machine_id_tells_kinds_apart_and_is_fit_for_a_file_name():
    id_ = environment.machine_id("AMD EPYC(tm) 7B13 @ 2.4GHz", 2)
    assert id_ == environment.machine_id("AMD EPYC(tm) 7B13 @ 2.4GHz", 2)
    assert id_ != environment.machine_id("AMD EPYC(tm) 7B13 @ 2.4GHz", 4)
    assert id_ != environment.machine_id("AMD EPYC(tm) 7B13 @ 2.5GHz", 2)
    assert set(id_) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_workers_get_the_last_cores_and_the_parent_the_others():
    assert worker_cores([0, 1, 2, 3], 2) == [2, 3]
    assert worker_cores([5], 1) == [5]
    assert worker_cores([], 1) == []


def test_workers_load_side_by_side_while_there_are_cores():
    assert [worker_cores([0, 1, 2, 3, 4], 2, position) for position in range(3)] == [[3, 4], [1, 2], [3, 4]]


@pytest.mark.parametrize(("seconds", "calls"), [(0.006, 2), (0.06, 1)], ids=["short", "long"])
def test_a_sample_of_one_call_is_warmed_up_unless_it_is_long(seconds, calls):
    called, zeros = [], np.zeros((1, 1), np.float32)
    work = CaseActions(SimpleNamespace(version="1"), 1)
    work.calibration, work._cores = clock.Calibration(1, seconds), frozenset(range(1024))
    work._inputs = FreshInputs(Split(zeros[None], zeros))
    work.session = SimpleNamespace(forward=lambda x: called.append(1) or (zeros, ()))
    work.sample(0)  # a seed for one call before it
    assert len(called) == calls
    called.clear()
    clock.sample(lambda: called.append(1), work.calibration)
    assert len(called) == calls


def test_calls_of_one_process_are_timed_in_the_same_rounds():
    found = clock.samples({"a": lambda: None, "b": lambda: sum(range(100))}, Random(0))
    assert clock.FEWEST <= len(found["a"]) == len(found["b"]) <= clock.MOST
    assert min(found["b"]) > min(found["a"]) > 0


def test_a_draft_and_a_record_have_the_same_columns():
    columns = {each.name: each.default for each in dataclasses.fields(Record)}
    assert {each.name: each.default for each in dataclasses.fields(DraftRecord)}.items() <= columns.items()
    assert INFER in RunSamples(infer_seconds=[]).as_json()
