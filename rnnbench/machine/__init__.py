"""What this machine is and does: facts that a figure depends on besides the program.

Read `environment` (processor, versions, commit), then `caches`, `threads` and `peak_memory`; `doctor` judges them all.
"""
