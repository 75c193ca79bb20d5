"""Modules of torch's, drawn by a seeded generator, through both of its exporters: what is read computes the same."""

import warnings

import numpy as np
import pytest

import rnnbench

pytest.importorskip("onnx")
pytestmark = [pytest.mark.torch, pytest.mark.slow]
MODULES, PART = 160, 20  # in parts, since one export takes seconds
EXPORTED = 13  # of each part at least, and so 104 in all: torch itself cannot export a projection, to name one
T, B = 6, 4


def drawn(torch, seed):
    """Return a module, its inputs, and what it was made of; every choice by the seed."""
    rng = np.random.default_rng(seed)

    def pick(*choices, p=None):
        return choices[rng.choice(len(choices), p=p)]

    kind = pick("LSTM", "GRU", "RNN")
    I, H = int(rng.integers(1, 5)), int(rng.integers(2, 7))
    layers, both, rows_first = pick(1, 1, 2, 3), bool(pick(0, 1)), bool(pick(0, 1))
    options = {"num_layers": layers, "bidirectional": both, "batch_first": rows_first, "bias": pick(True, True, False)}
    options["dropout"] = pick(0.0, 0.3) if layers > 1 else 0.0
    options |= {"nonlinearity": pick("tanh", "relu")} if kind == "RNN" else {}
    options |= {"proj_size": H - 1} if kind == "LSTM" and pick(0, 0, 0, 0, 1) else {}
    odd = {"take": ("mean", "carry", "first step"), "head": ("two", "relu", "bias twice", "dropout", "layer norm")}
    odd |= {"given": ("lengths", "embedding", "start from x", "scaled", "reversed")}
    usual = {"take": ("last step", "every step", "final state"), "head": ("linear", "no bias", "none")}
    usual |= {"given": ("x", "x", "state")}
    strange = pick("nothing", "nothing", *odd)  # one thing at a time: a second would hide the first
    take, head, given = (pick(*(odd if name == strange else usual)[name]) for name in ("take", "head", "given"))
    training = bool(pick(0, 0, 0, 1))
    F = (2 if both else 1) * options.get("proj_size", H)

    class Drawn(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = getattr(torch.nn, kind)(I, H, **options)
            self.second = getattr(torch.nn, kind)(F, options.get("proj_size", H), batch_first=rows_first)
            self.embedding = torch.nn.Embedding(9, I)
            self.head = torch.nn.Linear(F, 3, bias=head != "no bias")
            self.more = torch.nn.Linear(3, 2)
            self.norm = torch.nn.LayerNorm(F)

        def forward(self, x, *more):
            if given == "embedding":
                x = self.embedding(x)
            x = x * 2 if given == "scaled" else x.flip(1 if rows_first else 0) if given == "reversed" else x
            packed = torch.nn.utils.rnn
            if given == "lengths":
                x = packed.pack_padded_sequence(x, more[0], rows_first, enforce_sorted=False)
            start = more if given == "state" else ()
            if given == "start from x":
                first = (x[:, 0] if rows_first else x[0])[None, :, :1]
                start = (first.expand(F // options.get("proj_size", H) * layers, -1, H).contiguous(),)
                start = (start[0], start[0]) if kind == "LSTM" else start
            start = () if not start else (tuple(start),) if kind == "LSTM" else start
            y, state = self.layers(x, *start)
            y = packed.pad_packed_sequence(y, rows_first)[0] if given == "lengths" else y
            if take == "carry" and not both and not options.get("proj_size"):
                last = tuple(s[-1:] for s in state) if kind == "LSTM" else state[-1:]
                y, state = self.second(y, last)
            h = state[0] if kind == "LSTM" else state
            if take == "final state":
                y = torch.cat([h[-2], h[-1]], -1) if both else h[-1]
            elif take in ("last step", "first step"):
                at = -1 if take == "last step" else 0
                y = y[:, at] if rows_first else y[at]
            elif take == "mean":
                y = y.mean(1 if rows_first else 0)
            if head in ("relu", "layer norm", "dropout"):
                y = {"relu": torch.relu, "layer norm": self.norm, "dropout": torch.nn.functional.dropout}[head](y)
            if head != "none":
                y = self.head(y)
            y = y + self.head.bias if head == "bias twice" else y
            return self.more(y) if head == "two" else y

    torch.manual_seed(seed)
    module = Drawn().train(training)
    with torch.no_grad():
        for value in module.parameters():
            value.mul_(1.5)
    shape = (B, T) if rows_first else (T, B)
    x = torch.randint(0, 9, shape) if given == "embedding" else torch.randn(*shape, I)
    states = [torch.randn(layers * (2 if both else 1), B, size) for size in (options.get("proj_size", H), H)]
    more = {"lengths": (torch.tensor([6, 4, 3, 1]),), "state": tuple(states[: 2 if kind == "LSTM" else 1])}
    what = (kind, options, take, head, given, training)
    return module, (x, *more.get(given, ())), rows_first, what


def exported(torch, module, inputs, rows_first, path, modern):
    """Export it as it is, in training mode too, axes free or fixed as the exporter usually has them. False where torch
    cannot."""
    names = [f"in{n}" for n in range(len(inputs))]
    axes = {"in0": {0: "rows" if rows_first else "steps", 1: "steps" if rows_first else "rows"}}
    axes |= {name: {1 if value.ndim == 3 else 0: "rows"} for name, value in zip(names[1:], inputs[1:], strict=True)}
    try:
        if modern:
            torch.onnx.export(module, inputs, str(path), dynamo=True, verbose=False, input_names=names)
        else:
            mode = torch.onnx.TrainingMode.PRESERVE
            options = {"input_names": names, "dynamic_axes": axes, "training": mode, "do_constant_folding": False}
            torch.onnx.export(module, inputs, str(path), dynamo=False, **options)
    except Exception:  # what an exporter cannot do is not ours, and comes as any kind of error
        return False
    return True


@pytest.mark.parametrize("first", range(0, MODULES, PART))
@pytest.mark.parametrize("modern", [False, True])
def test_nothing_is_read_that_is_not_what_torch_computes(modern, first, tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    read, refused = [], {}
    for seed in range(first, first + PART):
        module, inputs, rows_first, what = drawn(torch, seed)
        path = tmp_path / f"{seed}.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # both exporters warn: of each other, of batch sizes, of torch's own future
            if not exported(torch, module, inputs, rows_first, path, modern):
                continue
        try:
            found = rnnbench.load_weights(path)
        except rnnbench.UsageError as error:
            refused[seed] = (what, str(error))
            continue
        with torch.no_grad():
            expected = module.eval()(inputs[0], *(torch.zeros_like(value) for value in inputs[1:])).numpy()
        x = inputs[0].numpy().transpose(1, 0, 2) if rows_first else inputs[0].numpy()
        y, _ = rnnbench.session("numpy", found.model, found.params).forward(x)
        y = y.transpose(1, 0, 2) if rows_first and y.ndim == 3 else y
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5, err_msg=str(what))  # float32
        read.append(what)
    assert len(read) + len(refused) >= EXPORTED
    assert [found for found in refused.values() if plain(*found[0], modern)] == []
    assert all(why.isprintable() for _, why in refused.values())


def plain(kind, options, take, head, given, training, modern):
    """Tell whether a module is one that the documentation promises to read."""
    reads = take in ("every step", "final state") or (take == "last step" and not options["bidirectional"])
    recurrent = not options.get("proj_size") and not (modern and kind == "RNN")
    drops = training and options["dropout"]
    return reads and recurrent and not drops and given in ("x", "state") and head in ("linear", "no bias", "none")
