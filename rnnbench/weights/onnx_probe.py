"""What a file computes, beside what was read from it: random values for every number of an input, put into the file's
interpreters, and where in canonical layout the values belong that come out."""

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.model import Array
from rnnbench.weights.onnx_run import Interpreters
from rnnbench.weights.onnx_trace import Trace
from rnnbench.weights.spec import Probe


def probe(trace: Trace, interpreters: Interpreters) -> Probe:
    """Execute the file on random inputs and initial states. Raises UsageError where that fails."""
    drawn = np.random.default_rng(0).standard_normal(trace.next)
    drawn[0] = 0.0  # the number of what is no input
    given = {name: _typed(drawn[trace.values[name]], kind) for name, kind in trace.types.items()}
    for name, value in given.items():
        drawn[trace.values[name]] = value  # as the file's own type rounds it
    output = trace.graph.output[0].name
    values, noise = interpreters.run(given, output)
    seen = np.full(trace.next, np.nan)
    for name in (*trace.numbered, output):  # what the output says itself stands, should a number have two values
        if name in values:
            made, expected = values[name].shape, trace.values[name].shape
            if made != expected:
                raise UsageError(f"{name!r} has the shape {made} when the file is executed, not {expected}")
            seen[trace.values[name]] = values[name]
    (readout, _), head = trace.readout()
    last = trace.layers[-1]
    y = (last.steps if readout == "all" else last.last) if head is None else head.outputs
    y = y[-1] if y.ndim == 3 and readout == "last" else y
    states = zip(*(layer.starts for layer in trace.layers), strict=True)
    layers = tuple((layer.what, seen[layer.steps]) for layer in trace.layers)
    return Probe(drawn[trace.x], tuple(drawn[np.concatenate(starts)] for starts in states), seen[y], layers, noise)


def _typed(values: Array, kind: np.dtype) -> Array:
    """Return the values in the type that an input has; what is not real only moves, so any value does."""
    return values.astype(kind) if kind.kind == "f" else np.ones(values.shape, kind)
