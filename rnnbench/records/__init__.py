"""Records: what was measured, how it is kept, and the statistics derived from it. Knows nothing of measuring."""
