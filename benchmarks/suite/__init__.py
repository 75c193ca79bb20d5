"""The asv suite: thin benchmarks over one comparison, which rnnbench's own harness carries out (docs/tracking.md)."""
