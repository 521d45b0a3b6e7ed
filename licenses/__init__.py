"""Offline licences: who may do what with which model, proven by signatures alone.

Reads and writes files; opens no connection and starts no program but `nvidia-smi`. Knows neither torch nor flask nor an
inference runtime. What the files hold and what each state allows: docs/licensing.md.
"""
