"""A case's limit on a made-up machine, worked out by hand; and this machine, measured."""

from dataclasses import replace

import numpy as np
import pytest

from rnnbench.kernels.peak import make_reading
from rnnbench.model import Model
from rnnbench.roofline.limits import Level, MachineLimits, case_limit, limits, parts
from rnnbench.verify.flops import forward_flops

KIB = 1024
MACHINE = MachineLimits(
    "float32",
    1,
    flops_peak=100e9,
    levels=(
        Level("L1", 32 * KIB, 200e9, 16 * KIB),
        Level("L2", 512 * KIB, 100e9, 128 * KIB),
        Level("L3", 4096 * KIB, 25e9, 1024 * KIB),
        Level("memory", None, 10e9, 2**26),
    ),
)

UNHURRIED = replace(MACHINE, flops_peak=1e15)  # reading is all that takes time


def lstm(H: int, I: int = 1, **more: object) -> Model:
    return Model("lstm", I, H, readout="all", **more)  # type: ignore[arg-type]


def test_many_rows_are_bound_by_arithmetic() -> None:
    seconds, bound = case_limit(MACHINE, lstm(128, 64), 32, 100)
    assert bound == "arithmetic"
    assert seconds == pytest.approx(2 * 32 * 100 * 4 * 128 * (128 + 64) / 100e9)


def test_one_row_is_bound_by_the_level_that_most_of_r_is_read_from() -> None:
    R, W = 4 * 128 * 128 * 4, 4 * 128 * 4  # bytes: R lies in L1 and L2, and W behind it
    seconds, bound = case_limit(MACHINE, lstm(128), 1, 50)
    assert bound == "L2 bandwidth"
    assert seconds == pytest.approx(50 * (32 * KIB / 200e9 + (R - 32 * KIB) / 100e9) + W / 100e9)


@pytest.mark.parametrize(
    ("hidden", "bound"),
    [(40, "L1 bandwidth"), (150, "L2 bandwidth"), (400, "L3 bandwidth"), (1024, "memory bandwidth")],
)
def test_larger_weights_lie_further_away(hidden: int, bound: str) -> None:
    assert case_limit(UNHURRIED, lstm(hidden), 1, 50)[1] == bound


def test_no_program_has_to_read_w_more_than_once() -> None:
    narrow, wide = (case_limit(UNHURRIED, lstm(128, I), 1, 100)[0] for I in (1, 128))
    once = 4 * 128 * 127 * 4 / 100e9
    assert wide - narrow == pytest.approx(once)


def test_a_limit_has_no_jumps() -> None:
    """One more unit costs something, and never more than reading its weights from memory."""
    seconds = [case_limit(UNHURRIED, lstm(H), 1, 1)[0] for H in range(30, 600)]
    slowest = [(4 * (2 * H + 1) + 4) * 4 / 10e9 for H in range(30, 599)]
    assert all(0 < b - a <= most * 1.000001 for a, b, most in zip(seconds, seconds[1:], slowest, strict=False))


def test_layers_and_directions_follow_one_another() -> None:
    one, stack = lstm(128, 128), lstm(128, 128, layers=3)
    assert case_limit(MACHINE, stack, 1, 20)[0] == pytest.approx(3 * case_limit(MACHINE, one, 1, 20)[0])
    both = lstm(128, 128, bidirectional=True)
    assert case_limit(MACHINE, both, 1, 20)[0] == pytest.approx(2 * case_limit(MACHINE, one, 1, 20)[0])


def test_float64_weights_are_twice_as_many_bytes() -> None:
    single, double = (sum(p.bytes_read for p in parts(lstm(64, 8, dtype=d), 1, 10)) for d in ("float32", "float64"))
    assert double == 2 * single


@pytest.mark.parametrize("readout", ["last", "all"])
def test_parts_hold_all_operations(cell_id: str, readout: str) -> None:
    model = Model(cell_id, 7, 20, 3, layers=2, bidirectional=True, readout=readout)  # type: ignore[arg-type]
    found = parts(model, 5, 11)
    assert len(found) == 5
    assert sum(part.flops for part in found) == forward_flops(model, 11, 5)
    biases = len(model.spec.accumulators) * 20 * 4 + 3
    weights = sum(part.each_step + part.once for part in found) // 4
    assert weights == model.count_parameters() - biases


def test_threads_share_the_reading() -> None:
    levels = tuple(Level(v.name, v.size and 2 * v.size, 2 * v.bandwidth, v.measured_over) for v in MACHINE.levels)
    twice = replace(MACHINE, threads=2, flops_peak=2 * MACHINE.flops_peak, levels=levels)
    model = lstm(256)
    assert case_limit(twice, model, 1, 50)[0] < 0.5 * case_limit(MACHINE, model, 1, 50)[0]
    assert case_limit(twice, model, 64, 50)[0] == pytest.approx(0.5 * case_limit(MACHINE, model, 64, 50)[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_element_is_read_every_turn(dtype: str) -> None:
    """What the kernel did not read would be missing in its sum."""
    kind = np.dtype(dtype)
    function, lanes = make_reading(kind)
    data = np.arange(3 * 8 * lanes, dtype=kind)
    out = np.zeros(lanes, kind)
    function(5, data, out)
    assert out.sum() == 5 * data.sum()


@pytest.mark.slow
def test_this_machine_has_limits_in_their_order() -> None:
    """Only what noise cannot turn round: the first cache is many times as fast as memory."""
    found = limits("float32")
    assert found.flops_peak > 1e9
    assert found.levels[-1].name == "memory"
    assert found.levels[0].bandwidth > found.levels[-1].bandwidth > 0
    sizes = [level.size for level in found.levels[:-1]]
    assert sizes == sorted(sizes)  # type: ignore[type-var]
    assert all(below.size < level.measured_over for below, level in zip(found.levels, found.levels[1:], strict=False))
    assert all(level.measured_over < level.size for level in found.levels[:-1])
