"""What Fanwise costs, against what one would write by hand (docs/benchmarks.md)."""
