"""What the machine allows, and how much of it the kernels reach: `rnnbench roofline`.

Read `limits` (peak, bandwidths, a case's least time), `points` (cases timed), then `report` and `plot`.
"""
