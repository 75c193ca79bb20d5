"""Writes tests/golden/*.npz: what torch computes, in canonical names and layouts, for checking without torch.

    python tools/make_golden.py [FOLDER]

One file a cell: two layers, both directions, ragged lengths, non-zero initial states, random biases, and a head of its
own. Each holds plain float64 and int64 arrays, no pickles:

    params/NAME [..]        canonical parameters; torch's two biases are summed where they add up
    x [T, B, I]  lengths [B]  state/S [L*D, B, H]  target [T, B, O]
    features [T, B, D*H]    torch's output before the head; final/S [L*D, B, H] its final states
    loss []                 mean squared error over the valid steps
    gradient/NAME [..]      its gradient by params/NAME;  state_gradient/S by the initial states
    curve [STEPS]           losses of torch.optim.Adam from params and zero states, before each step
    torch_parameters []     how many parameters torch counts, head included
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

T, B, I, H, O, L, D = 5, 3, 3, 4, 2, 2, 2
STEPS = 10
LEARNING_RATE = 1e-2
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Layout:
    """How torch's rows map to canonical accumulators, in canonical order.

    A bias comes from "both" (torch's two are summed), or from "ih" or "hh" and the gate of that name alone.
    """

    module: type[nn.RNNBase]
    options: dict[str, str]
    gates: str
    biases: tuple[tuple[str, str], ...]


def summed(gates: str) -> tuple[tuple[str, str], ...]:
    return tuple((gate, "both") for gate in gates)


LAYOUTS = {
    "lstm": Layout(nn.LSTM, {}, "ifgo", summed("ifgo")),
    "gru": Layout(nn.GRU, {}, "rzn", (*summed("rz"), ("n", "ih"), ("n", "hh"))),
    "rnn-tanh": Layout(nn.RNN, {"nonlinearity": "tanh"}, "h", summed("h")),
    "rnn-relu": Layout(nn.RNN, {"nonlinearity": "relu"}, "h", summed("h")),
}


class Net(nn.Module):
    """The recurrent stack and its head."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.rnn = layout.module(I, H, num_layers=L, bidirectional=D == 2, dtype=torch.float64, **layout.options)
        self.head = nn.Linear(D * H, O, dtype=torch.float64)

    def forward(self, x, lengths, state):
        """Map x [T, B, I] to (prediction [T, B, O], features [T, B, D*H], final states), zero past the lengths."""
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        start = (state if len(state) == 2 else state[0]) if state else None
        y, final = self.rnn(packed, start)
        features, _ = pad_packed_sequence(y, total_length=T)
        return self.head(features), features, final if isinstance(final, tuple) else (final,)


def loss_of(prediction, target, lengths):
    valid = torch.arange(T)[:, None] < lengths
    return nn.functional.mse_loss(prediction[valid], target[valid])


def suffixes():
    """Yield (torch's suffix, canonical prefix) of each layer and direction."""
    for layer in range(L):
        for side in range(D):
            yield f"l{layer}" + "_reverse" * side, f"layers.{layer}.{'reverse' if side else 'forward'}."


def canonical(layout: Layout, net: Net, pick, add: bool) -> Arrays:
    """Return `pick(parameter)` in canonical arrays: two biases are added for values; a gradient is that of either."""
    arrays: Arrays = {}
    for suffix, prefix in suffixes():
        W, R, b_ih, b_hh = (
            pick(getattr(net.rnn, f"{kind}_{suffix}")).reshape(len(layout.gates), H, -1)
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        sources = {"ih": b_ih, "hh": b_hh, "both": b_ih + b_hh if add else b_ih}
        rows = [sources[source][layout.gates.index(gate), :, 0] for gate, source in layout.biases]
        arrays |= {prefix + "W": W, prefix + "R": R, prefix + "b": np.stack(rows)}
    return arrays | {"head.W": pick(net.head.weight), "head.b": pick(net.head.bias)}


def value(tensor) -> np.ndarray:
    return tensor.detach().numpy().copy()


def gradient(tensor) -> np.ndarray:
    return value(tensor.grad)


def adam_curve(layout: Layout, net: Net, x, target, lengths) -> list[float]:
    """Return the losses of torch's Adam. A redundant second bias is held at zero: else the sum moves twice."""
    redundant = torch.tensor([gate in [g for g, source in layout.biases if source == "both"] for gate in layout.gates])
    rows = redundant.repeat_interleave(H)
    second = [getattr(net.rnn, f"bias_hh_{suffix}") for suffix, _ in suffixes()]
    with torch.no_grad():
        for suffix, _ in suffixes():
            first, other = getattr(net.rnn, f"bias_ih_{suffix}"), getattr(net.rnn, f"bias_hh_{suffix}")
            first[rows] += other[rows]
            other[rows] = 0
    adam = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    losses = []
    for _ in range(STEPS):
        adam.zero_grad()
        loss = loss_of(net(x, lengths, None)[0], target, lengths)
        loss.backward()
        for bias in second:
            bias.grad[rows] = 0
        adam.step()
        losses.append(loss.item())
    return losses


def golden(cell: str) -> Arrays:
    """Return all arrays of one file. The draws are NumPy's, so that torch's version does not change the inputs."""
    layout, rng = LAYOUTS[cell], np.random.default_rng(sorted(LAYOUTS).index(cell))
    net = Net(layout)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.from_numpy(rng.uniform(-0.7, 0.7, tuple(parameter.shape))))
    x = torch.from_numpy(rng.standard_normal((T, B, I)))
    target = torch.from_numpy(rng.standard_normal((T, B, O)))
    lengths = torch.tensor([3, T, 1])
    names = "hc" if cell == "lstm" else "h"
    state = tuple(torch.from_numpy(rng.uniform(-1, 1, (L * D, B, H))).requires_grad_() for _ in names)
    prediction, features, final = net(x, lengths, state)
    loss = loss_of(prediction, target, lengths)
    loss.backward()
    arrays = {"x": value(x), "lengths": value(lengths), "target": value(target), "features": value(features)}
    arrays |= {f"params/{name}": array for name, array in canonical(layout, net, value, add=True).items()}
    arrays |= {f"gradient/{name}": array for name, array in canonical(layout, net, gradient, add=False).items()}
    for name, start, end in zip(names, state, final, strict=True):
        arrays |= {
            f"state/{name}": value(start),
            f"final/{name}": value(end),
            f"state_gradient/{name}": gradient(start),
        }
    arrays |= {"loss": value(loss), "torch_parameters": np.array(sum(p.numel() for p in net.parameters()))}
    return arrays | {"curve": np.array(adam_curve(layout, net, x, target, lengths))}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for cell in LAYOUTS:
        np.savez_compressed(folder / f"{cell}.npz", **golden(cell))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "tests" / "golden")
