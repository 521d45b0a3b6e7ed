"""Onsight beside other inference servers and beside no server at all; `python -m benchmarks.serving` runs it."""
