"""The backend over an inference graph: what its session hands to the graph, and what they refuse. The runtimes that use
it are held to the conformance suite in their own packages."""

from dataclasses import replace

import numpy as np
import pytest

import rnnbench
from rnnbench.backends.graph_session import GraphBackend, GraphSession

T, B, I, H = 4, 3, 2, 5
MODEL = rnnbench.Model("lstm", I, H, readout="all")


class Graph:
    """Notes its inputs and gives arrays of the right shapes."""

    def __init__(self):
        self.fed = []

    def __call__(self, feed):
        self.fed.append({name: (value.dtype.name, value.shape) for name, value in feed.items()})
        steps, rows, _ = feed["x"].shape
        return [np.zeros((steps, rows, H), "float32"), *(np.zeros((1, rows, H), "float32") for _ in "hc")]


@pytest.fixture
def graph():
    return Graph()


def session(graph, model=MODEL):
    return GraphSession(model, model.init(0), graph, "it infers only")


def test_only_what_a_call_gives_is_fed(graph):
    x, start = np.zeros((T, B, I), "float32"), tuple(np.zeros((1, B, H), "float32") for _ in "hc")
    ours = session(graph)
    ours.forward(x)
    ours.forward(x, np.array([1, 4, 2]))
    ours.forward(x, None, start)
    given, state = ("float32", (T, B, I)), ("float32", (1, B, H))
    assert graph.fed == [
        {"x": given},
        {"x": given, "lengths": ("int32", (B,))},
        {"x": given, "h0": state, "c0": state},
    ]


def test_a_step_is_a_sequence_of_one(graph):
    ours = session(graph)
    y, state = ours.step(np.zeros((B, I), "float32"), None)
    assert y.shape == (B, H)
    ours.step(np.zeros((B, I), "float32"), state)
    assert [fed["x"] for fed in graph.fed] == [("float32", (1, B, I))] * 2
    assert "h0" in graph.fed[1]


def test_a_state_of_another_shape_is_refused(graph):
    ours = session(graph)
    x_t = np.zeros((B, I), "float32")
    _, (h, c) = ours.step(x_t, None)
    with pytest.raises(rnnbench.UsageError, match="state h must be"):
        ours.step(x_t, (h[:, :2], c))


def test_what_a_graph_cannot_do_is_refused_with_the_reason(graph):
    ours = session(graph)
    x, target = np.zeros((T, B, I)), np.zeros((T, B, H))
    with pytest.raises(rnnbench.Unsupported, match="it infers only"):
        ours.gradients(x, target)
    with pytest.raises(rnnbench.Unsupported, match="it infers only"):
        ours.train_step(x, target)
    both = session(graph, rnnbench.Model("lstm", I, H, bidirectional=True))
    with pytest.raises(rnnbench.Unsupported, match="whole sequence"):
        both.step(x[0], None)


def test_parameters_are_copies(graph):
    ours = session(graph)
    for value in ours.parameters().values():
        value += 1
    for name, value in MODEL.init(0).items():
        np.testing.assert_array_equal(ours.parameters()[name], value)


class Runtime(GraphBackend):
    runtime = "this runtime"

    def inference(self, model, params):
        return Graph()


BOTH_WAYS = replace(MODEL, bidirectional=True)


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        (MODEL, {"streaming": True}, None),
        (BOTH_WAYS, {}, None),
        (BOTH_WAYS, {"streaming": True}, "a bidirectional model needs the whole sequence"),
        (BOTH_WAYS, {"training": True}, "this runtime infers only"),
        (replace(MODEL, cell="ugrnn"), {}, "ONNX has no operator for the cell ugrnn"),
        (replace(MODEL, dtype="float64"), {}, "its recurrent operators compute in float32, not in float64"),
    ],
)
def test_a_runtime_says_why_a_case_cannot_run(model, options, reason):
    assert Runtime().unsupported(rnnbench.Case(model, 1, 1, **options)) == reason
    if reason and not options:
        with pytest.raises(rnnbench.Unsupported, match=reason):
            Runtime().session(model, {})


def test_a_runtime_s_session_keeps_weights_of_its_own():
    params = MODEL.init(0)
    session = Runtime().session(MODEL, params)
    params["layers.0.forward.b"][:] = 7
    np.testing.assert_array_equal(session.parameters()["layers.0.forward.b"], MODEL.init(0)["layers.0.forward.b"])
    assert session.forward(np.zeros((T, B, I)))[0].shape == (T, B, H)
