"""A model of your own: trained on your arrays, saved, and run on a stream, value by value: python examples/own_model.py

The file it leaves is timed on every installed runtime by `rnnbench compare --model wave.safetensors`.
"""

import numpy as np

import rnnbench

wave = np.sin(0.3 * np.arange(400)) + 0.05 * np.random.default_rng(0).standard_normal(400)
windows = np.lib.stride_tricks.sliding_window_view(wave, 21)  # twenty values, and the next one
x, target = windows[:, :-1].T[:, :, None], windows[:, -1:]  # x [time, batch, input], target [batch, output]

model = rnnbench.Model(cell="gru", input_size=1, hidden_size=16, output_size=1)
learner = rnnbench.session("numba", model, model.init(seed=0), optimiser=rnnbench.Adam(learning_rate=1e-2))
losses = [learner.train_step(x, target) for _ in range(200)]
print(f"mean squared error: {losses[0]:.4f} before, {losses[-1]:.4f} after {len(losses)} steps")

rnnbench.save_weights("wave.safetensors", model, learner.parameters())
trained = rnnbench.load_weights("wave.safetensors")
stream = rnnbench.session("numba", trained.model, trained.params)
state = None
for value in wave[-20:]:
    y, state = stream.step(np.array([[value]]), state)
print(f"after {wave[-1]:+.3f} comes {y[0, 0]:+.3f}")
