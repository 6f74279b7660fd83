"""Benchmarks: each a command, `python -m benchmarks.NAME`; results as JSON in benchmarks/results/."""
