"""Measurements of speed and memory; `python -m benchmarks` runs them and says where the figures go."""
