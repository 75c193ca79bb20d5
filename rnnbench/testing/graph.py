"""Tests for pytest of a runtime that reads ONNX, beside those of the contract.

In a plugin's tests: ``class TestMyRuntime(GraphBackendTests): backend = MyRuntimeBackend``.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from rnnbench.backends.base import Case
from rnnbench.backends.graph_session import GraphBackend
from rnnbench.backends.numpy_reference import NumpyBackend
from rnnbench.errors import Unsupported
from rnnbench.model import Array, Model
from rnnbench.weights.onnx_layout import LAYOUTS

# Rounding of float32 sums of a few dozen terms, seen up to 4e-7; a swapped gate or a wrong bias gives 1e-2.
TOLERANCE = 2e-6
BOTH_WAYS = Model("lstm", 3, 5, bidirectional=True, readout="all")


def x_of(steps: int, rows: int) -> Array:
    """Draw x [steps, rows, 3]."""
    return np.random.default_rng(0).standard_normal((steps, rows, BOTH_WAYS.input_size)).astype("float32")


class GraphBackendTests:
    """What any `GraphBackend` must do; a subclass names the one."""

    backend: Callable[[int], GraphBackend]

    @pytest.mark.parametrize(
        ("case", "words"),
        [
            (Case(BOTH_WAYS, 1, 1, training=True), "infers only"),
            (Case(BOTH_WAYS, 1, 1, streaming=True), "whole sequence"),
            (Case(replace(BOTH_WAYS, cell="ugrnn"), 1, 1), "no operator for the cell ugrnn"),
            (Case(replace(BOTH_WAYS, dtype="float64"), 1, 1), "in float32, not in float64"),
        ],
    )
    def test_what_it_cannot_do_has_a_reason(self, case: Case, words: str) -> None:
        backend = self.backend(1)
        assert backend.unsupported(Case(BOTH_WAYS, 1, 1)) is None
        assert words in str(backend.unsupported(case))
        if case.model != BOTH_WAYS:
            with pytest.raises(Unsupported, match=words):
                backend.session(case.model, {})

    def test_outputs_stay_what_they_were(self) -> None:
        session, x = self.backend(1).session(BOTH_WAYS, BOTH_WAYS.init(0)), x_of(7, 4)
        y, _ = session.forward(x)
        kept = y.copy()
        session.forward(x * 2)
        np.testing.assert_array_equal(y, kept)

    @pytest.mark.parametrize("cell", LAYOUTS)
    @pytest.mark.parametrize("bidirectional", [False, True])
    def test_one_session_takes_any_lengths_and_shapes(self, cell: str, bidirectional: bool) -> None:
        """With free dimensions OpenVINO 2026.4 gives final states of the last step, lengths or no: off by 0.3."""
        model = replace(BOTH_WAYS, cell=cell, bidirectional=bidirectional)
        params, rng = model.init(seed=3), np.random.default_rng(0)
        session = self.backend(1).session(model, params)
        reference = NumpyBackend(1).session(replace(model, dtype="float64"), params)
        for steps, rows in ((7, 4), (7, 4), (3, 4), (12, 1), (7, 2)):
            for lengths in (rng.integers(1, steps + 1, rows), None):
                y, final = session.forward(x_of(steps, rows), lengths)
                expected, expected_final = reference.forward(x_of(steps, rows), lengths)
                np.testing.assert_allclose(y, expected, rtol=0, atol=TOLERANCE)
                np.testing.assert_allclose(final[0], expected_final[0], rtol=0, atol=TOLERANCE)
