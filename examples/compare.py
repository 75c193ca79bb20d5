"""Which of two cells learns to add two marked numbers, and at what speed: python examples/compare.py

A first look, with one seed. Leave `quick` out for five seeds and verdicts; the run is stored, and
`rnnbench show latest` prints it again.
"""

import rnnbench

run = rnnbench.compare(task="adding", cell=["lstm", "gru"], backend="numba", quick=True)
rows = run.frame()
print(rows[["cell", "parameters", "score", "learned", "train_seconds", "infer_seconds"]].to_string(index=False))
