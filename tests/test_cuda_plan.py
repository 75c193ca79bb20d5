"""The model that lays a scan over a GPU: what it chooses, and that what it chooses fits."""

import itertools

import pytest
from gpu_devices import A100, H200

from rnnbench import Unsupported
from rnnbench.cells.spec import Accumulator, Cell, Stage
from rnnbench.kernels.cuda.choose import MOST_PAIRS, ScanPlanner
from rnnbench.kernels.cuda.layout import DIGIT_BITS, CudaLayout, digits
from rnnbench.kernels.cuda.plan import (
    BARRIER,
    Device,
    ScanPlan,
    Tile,
    scan_phases,
)
from rnnbench.registry import registry

SIZES = list(itertools.product((1, 5, 32, 256), (1, 17, 64, 300, 512, 1024, 2048)))


def plan(
    cell: str, hidden: int, batch: int, backward: bool = False, device: Device = H200, itemsize: int = 4
) -> ScanPlan:
    phases = scan_phases(CudaLayout(registry().cell(cell)), backward)
    return ScanPlanner(phases, hidden, batch, itemsize, device).best()


@pytest.mark.parametrize("device", [H200, A100], ids=lambda device: device.name)
@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_every_plan_fits_its_gpu(cell_id: str, device: Device, itemsize: int, backward: bool) -> None:
    for batch, hidden in SIZES:
        made = plan(cell_id, hidden, batch, backward, device, itemsize)
        assert made.units * made.unit_blocks >= hidden > made.units * (made.unit_blocks - 1)
        assert made.rows * made.row_blocks >= batch > made.rows * (made.row_blocks - 1)
        assert made.elements * itemsize <= device.shared_bytes
        assert made.pairs <= MOST_PAIRS[itemsize]
        assert made.pairs * made.threads >= made.units * made.rows
        if made.barrier_blocks > 1:  # those that wait for each other must all be alive
            assert made.unit_blocks * made.row_blocks <= device.multiprocessors
        for products, tiles in zip(made.phases, made.tiles, strict=True):
            for product, tile in zip(products, tiles, strict=True):
                assert tile.threads <= made.threads
                assert tile.rows >= made.rows
                assert tile.columns >= product.columns * made.units
                assert made.chunk % tile.depth_multiple == 0


def test_a_small_layer_keeps_to_itself() -> None:
    """When R fits one multiprocessor, a block takes rows of its own and waits for nobody."""
    made = plan("lstm", 64, 32)
    assert (made.unit_blocks, made.resident, made.looped, made.communicates) == (1, True, True, False)
    assert made.row_blocks == 32


def test_a_middling_layer_is_split_over_units_and_stays_on_chip() -> None:
    made = plan("lstm", 512, 32)
    assert made.resident
    assert made.looped
    assert made.barrier_blocks == made.unit_blocks > 1
    assert made.row_blocks > 1, "rows are split too, so that fewer blocks wait for each other"


def test_a_large_layer_streams_its_weights() -> None:
    assert H200.multiprocessors * H200.shared_bytes < 4 * 2048 * 2048 * 4
    assert not plan("lstm", 2048, 32).resident
    assert plan("lstm", 2048, 32).looped
    assert not plan("lstm", 2048, 256).looped, "more blocks than multiprocessors cannot wait for each other"


def test_gates_that_do_not_see_h_need_no_barrier() -> None:
    made = plan("mingru", 512, 32)
    assert made.barrier_blocks == 1
    assert made.barriers == 0
    assert made.clocks(4) < BARRIER


def test_twice_the_precision_takes_twice_the_memory() -> None:
    """R in float64 takes twice the memory: where float32 stays on chip, float64 may not."""
    assert plan("lstm", 1024, 1, itemsize=4).resident
    assert not plan("lstm", 1024, 1, itemsize=8).resident


def test_a_costlier_barrier_makes_for_fewer_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    free = plan("rnn-tanh", 128, 1)
    monkeypatch.setattr("rnnbench.kernels.cuda.plan.BARRIER", 1e6)
    assert plan("rnn-tanh", 128, 1).unit_blocks == 1
    monkeypatch.setattr("rnnbench.kernels.cuda.plan.BARRIER", 0.0)
    assert plan("rnn-tanh", 128, 1).unit_blocks >= free.unit_blocks


def test_two_stages_are_two_phases() -> None:
    layout = CudaLayout(registry().cell("gru-before"))
    assert [[product.columns for product in phase] for phase in scan_phases(layout, backward=False)] == [[1], [1, 1]]
    assert [[product.segments for product in phase] for phase in scan_phases(layout, backward=True)] == [[2], [1]]


def test_a_tile_has_a_thread_for_every_sum() -> None:
    tile = Tile.over(rows=9, columns=10, depth=64, threads=32)
    assert (tile.rows, tile.columns, tile.threads) == (12, 12, 18)
    assert Tile.over(rows=64, columns=64, depth=64, threads=32).slices == 0


def test_small_numbers_are_read_back_from_one_integer() -> None:
    rows = (3, 0, 14, 7)
    code = digits(rows)
    assert tuple((code >> (DIGIT_BITS * n)) & 15 for n in range(4)) == rows


def test_a_cell_of_too_many_accumulators_is_refused() -> None:
    gates = tuple(Accumulator(f"a{n}") for n in range(16))
    cell = Cell("wide", "Wide", ("h",), (Stage(gates, lambda m: (lambda pre, prev: (pre, pre), None)),), "a test")
    with pytest.raises(Unsupported, match="at most 15 accumulators"):
        CudaLayout(cell)
