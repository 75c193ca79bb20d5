"""The heavy half: torch, set to a number of threads, and sessions over one `nn.Module`."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.nn.utils import get_total_norm
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnbench import Adam, Case, CompileReport, Model, Unsupported
from rnnbench.backends import inputs
from rnnbench.backends.pools import start_torch
from rnnbench.backends.turns import one_call_at_a_time
from rnnbench.training import DEFAULT_ADAM
from rnnbench.weights.state_dict import redundant_gates
from rnnbench_torch import LAYERS
from rnnbench_torch.weights import canonical, to_state_dict

Array = np.ndarray
Params = dict[str, Array]
State = tuple[Array, ...]


class Stack(nn.Module):
    """torch's recurrent layers and the head, time-major."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        dtype = getattr(torch, model.dtype)
        layer, options = LAYERS[model.cell]
        self.recurrent = getattr(nn, layer)(
            model.input_size,
            model.hidden_size,
            model.layers,
            bidirectional=model.bidirectional,
            dtype=dtype,
            **options,
        )
        self.head = nn.Linear(model.features, model.output_size, dtype=dtype) if model.output_size else nn.Identity()
        self.every_step, self.directions = model.readout == "all", model.directions

    def forward(
        self, x: Tensor, lengths: Tensor | None, state: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the stack: x [T, B, I], lengths [B], state of [L*D, B, H] each -> (prediction, final state)."""
        start = state[0] if state is not None and len(state) == 1 else state
        if lengths is None:
            y, final = self.recurrent(x, start)
        else:
            packed, final = self.recurrent(pack_padded_sequence(x, lengths, enforce_sorted=False), start)
            y = pad_packed_sequence(packed, total_length=len(x))[0] if self.every_step else None
        final = final if isinstance(final, tuple) else (final,)
        if not self.every_step:
            return self.head(torch.cat(tuple(final[0][-self.directions :]), dim=-1)), final
        prediction = self.head(y)
        if lengths is not None:  # the head's bias reached the padding
            valid = torch.arange(len(x))[:, None] < lengths
            prediction = torch.where(valid[..., None], prediction, 0)
        return prediction, final


@one_call_at_a_time
class TorchSession:
    """The session contract over a `Stack`."""

    def __init__(self, model: Model, params: Params, loss: str, optimiser: Adam) -> None:
        self.model, self.loss, self.settings = model, loss, optimiser
        self.stack = Stack(model)
        self.stack.load_state_dict(to_state_dict(model, params, recurrent="recurrent."))
        rows = redundant_gates(model) * model.hidden_size
        recurrent = self.stack.recurrent.named_parameters()
        self._second_biases = [(value, rows) for name, value in recurrent if name.startswith("bias_hh")]
        self._parameters = list(self.stack.parameters())
        self._adam = torch.optim.Adam(
            self._parameters,
            lr=optimiser.learning_rate,
            betas=(optimiser.beta1, optimiser.beta2),
            eps=optimiser.epsilon,
            fused=True,
        )

    def forward(self, x: Array, lengths: Array | None = None, state: State | None = None) -> tuple[Array, State]:
        with torch.inference_mode():
            prediction, final = self.stack(*self._ready(x, lengths, state)[:3])
            return prediction.numpy(), tuple(value.numpy() for value in final)

    def step(self, x_t: Array, state: State | None) -> tuple[Array, State]:
        x = inputs.one_step(self.model, x_t)
        with torch.inference_mode():
            start = None if state is None else self._tensors(inputs.states(self.model, state, len(x)))
            prediction, final = self.stack(_tensor(x)[None], None, start)
            y = prediction[0] if self.stack.every_step else prediction
            return y.numpy(), tuple(value.numpy() for value in final)

    def gradients(
        self, x: Array, target: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[float, Params]:
        loss = self._backward(x, target, lengths, state)
        found = {name: value.grad for name, value in self.stack.named_parameters()}
        return loss, self._canonical(found)

    def train_step(self, x: Array, target: Array, lengths: Array | None = None) -> float:
        loss = self._backward(x, target, lengths, None)
        found = [value.grad for value in self._parameters]
        if self.settings.clip_norm is not None:
            # Not clip_grad_norm_: it adds 1e-6 to the norm, and so would take other steps than the reference.
            scale = self.settings.clip_scale(get_total_norm(found).item())
            if scale != 1.0:
                for gradient in found:
                    gradient.mul_(scale)
        self._adam.step()
        return loss

    def parameters(self) -> Params:
        return self._canonical(self.stack.state_dict())

    def _canonical(self, tensors: dict[str, Tensor]) -> Params:
        found = canonical(self.model, tensors, "recurrent.", "head.")
        return {name: value.copy() for name, value in found.items()}

    def _ready(
        self, x: Array, lengths: Array | None, state: State | None
    ) -> tuple[Tensor, Tensor | None, tuple[Tensor, ...] | None, Array | None]:
        """Return the arguments of `Stack.forward`, and the lengths as an array; None where all rows are full."""
        x, lengths = inputs.sequence(self.model, x, lengths)
        T, B, _ = x.shape
        ragged = None if lengths is None or (lengths == T).all() else lengths
        start = None if state is None else self._tensors(inputs.states(self.model, state, B))
        return _tensor(x), None if ragged is None else _tensor(ragged), start, ragged

    @staticmethod
    def _tensors(state: State) -> tuple[Tensor, ...]:
        return tuple(_tensor(value) for value in state)

    def _backward(self, x: Array, target: Array, lengths: Array | None, state: State | None) -> float:
        """Return the loss; its gradients are then in the parameters' `grad`, zero where a second bias is redundant."""
        *ready, ragged = self._ready(x, lengths, state)
        wanted, count = inputs.targets(self.model, self.loss, target, *ready[0].shape[:2], ragged)
        self._adam.zero_grad()
        prediction, _ = self.stack(*ready)
        if self.loss == "mse":
            total = mse_loss(prediction, _tensor(wanted), reduction="sum")
        else:
            flat = prediction.reshape(-1, prediction.shape[-1])
            total = cross_entropy(flat, _tensor(wanted).reshape(-1), ignore_index=inputs.IGNORED, reduction="sum")
        loss = total / count
        loss.backward()
        for bias, rows in self._second_biases:
            bias.grad[:rows] = 0
        return loss.item()


class TorchBackend:
    """torch with `threads` threads inside an operation and one between operations, in the whole process."""

    version = torch.__version__

    def __init__(self, threads: int) -> None:
        start_torch(torch, threads)

    def unsupported(self, case: Case) -> str | None:
        return case.refusal() or _no_layer(case.model)

    def session(self, model: Model, params: Params, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM) -> TorchSession:
        if reason := _no_layer(model):
            raise Unsupported(reason)
        return TorchSession(model, params, loss, optimiser)

    def compile_report(self) -> CompileReport | None:
        return None


def _no_layer(model: Model) -> str | None:
    if model.cell in LAYERS:
        return None
    if model.cell == "gru-before":
        return "nn.GRU resets after the recurrent product; torch.nn has no GRU that resets before it"
    return f"torch.nn has no layer that computes {model.cell}"


def _tensor(array: Array) -> Tensor:
    """Share the array's memory; torch has no read-only tensors, so a read-only array is copied."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())
