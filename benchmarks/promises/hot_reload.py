"""Hot reload drops nothing, and a bad bundle in a good one's place takes nothing away."""

from __future__ import annotations

from benchmarks.promises.promise import Promise
from benchmarks.promises.shown_by_test import shown_by_test

_TESTS = "tests/server/test_hot_reload.py"

PROMISES = (
    Promise(
        "hot_reload",
        "0 failed requests in 100 model swaps under load",
        shown_by_test(f"{_TESTS}::test_no_request_fails_while_models_are_swapped", full={"ONSIGHT_TEST_SWAPS": "100"}),
    ),
    Promise(
        "bad_bundle",
        "20 of 20 bad bundles leave the old model serving",
        shown_by_test(f"{_TESTS}::test_whatever_is_put_in_its_place_the_model_serves_on"),
    ),
)
