"""A comparison: settings unfold into groups, and each group is checked, trained, scored and timed, interleaved.

Read `plan` (settings, groups), `stages` (which groups first; `folds`), `runner` (the whole), `group` (one group from
start to end), `backend_run` and `case_inputs` (what it holds of each backend, and gives it; `case_work` computes a
plugin's part), `actions` (what a worker does), `fresh_inputs` (on what), `messages` (what travels); then, in turn:
`checking`, `learning`, `timing`, `probes`, `traps`, `scoring`, `rows`.
"""
