"""Disk full is safe: an install on a small file system of its own, filled to the last byte while the server runs."""

from __future__ import annotations

from benchmarks.promises.promise import Promise
from benchmarks.promises.shown_by_test import shown_by_test

PROMISE = Promise(
    "disk_full",
    "Disk full: predictions keep serving, changes get 507, nothing is half-written",
    shown_by_test("tests/server/test_full_disk.py"),
)
