"""Processes that backends run in: started, asked, limited and certainly ended.

Read `messages` (what is said), `serve` (the child), `worker` (the parent's handle on it), `sandbox` (where all of a
run's workers live, and the `reaper` that ends them if we are killed), `pool` (a worker for each backend), `failure`
(how a row ends when not ok).
"""
