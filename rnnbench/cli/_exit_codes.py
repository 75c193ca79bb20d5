"""What the command's exit code says; of several that apply, the most urgent: an interruption before all others."""

OK = 0
FAILED = 1  # some rows failed, a promise was broken, or rnnbench itself had a fault
USAGE = 2  # the request cannot be carried out as it was made
NOTHING_RAN = 3
REGRESSED = 4
INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it
