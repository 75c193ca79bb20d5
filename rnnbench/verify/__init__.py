"""Whether outputs are right: what every backend is held to before it is timed.

Read `reference` (what must come out), `parity` (how far off it may be), then `conventions` and `diagnose` (which
mistake explains a difference); `agreement` compares two files.
"""
