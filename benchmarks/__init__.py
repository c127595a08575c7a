"""Measure how fast django_flare is, beside other queues: `python -m benchmarks`."""
