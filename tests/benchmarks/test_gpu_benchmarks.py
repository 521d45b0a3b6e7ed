"""The GPU benchmarks' own arithmetic, on a CPU: what they call a difference, a flip, a provider that does not run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu.over_http import Outcome, Served
from benchmarks.gpu.over_http import table as http_table
from benchmarks.gpu.parity import Parity, table
from bundle.decide import decide
from bundle.home import OnsightHome
from bundle.load import Bundle, load_bundle
from bundle.trust import TrustStore
from server.engines.providers import CPU, TENSORRT


@pytest.fixture
def bundle(single_bundle: Path, home: OnsightHome) -> Bundle:
    return load_bundle(single_bundle, TrustStore(home.trust_dir))


@pytest.fixture
def parity(bundle: Bundle, tmp_path: Path) -> Parity:
    spec = bundle.manifest.preprocessing
    images = np.random.default_rng(0).integers(0, 256, (9, spec.height, spec.width, 3), np.uint8)
    return Parity(bundle, images, tmp_path)


@pytest.mark.slow
def test_full_precision_on_the_reference_s_own_provider_strays_by_nothing(parity: Parity) -> None:
    (row,) = parity.rows(CPU)
    assert (row.variant, row.flipped, row.error) == ("fp32", 0, None)
    assert row.golden is not None
    assert row.golden_tolerance is not None
    assert row.golden < row.golden_tolerance
    assert row.from_full == row.unstable == 0
    assert "| 0 of 9 |" in table([row], 9)


@pytest.mark.slow
def test_answers_that_differ_from_the_reference_s_are_counted(parity: Parity, bundle: Bundle) -> None:
    probabilities, logits = parity.full
    decided = sum(bool(decide(bundle.manifest, *row).labels) for row in zip(probabilities, logits, strict=True))
    assert decided > 1
    parity.full = np.roll(probabilities, 1, axis=1), np.roll(logits, 1, axis=1)  # each image's top label is another
    (row,) = parity.rows(CPU)
    assert row.flipped == decided
    assert row.from_full == pytest.approx(np.abs(parity.full[0] - probabilities).max())


@pytest.mark.slow
def test_a_provider_that_does_not_run_has_its_reason_in_place_of_figures(parity: Parity) -> None:
    (row,) = parity.rows(TENSORRT)
    assert row.golden is None
    assert row.error is not None
    assert f"does not run: {row.error}" in table([row], 9)


def test_the_table_of_requests_tells_the_share_of_what_is_possible_without_http() -> None:
    served = Served(8, 900.0, 8.5, None, 0, 2.25)
    lines = http_table([Outcome("cuda", "fp16", 1200.0, 3.0, 4.0, (served,)), Outcome("tensorrt", "fp16", error="no")])
    assert lines.splitlines()[2:] == [
        "| cuda | fp16 | 1,200 | 8 | 900 | 0.75 | 8.5 | - | 2.25 | 0 |",
        "| tensorrt | fp16 | no | | | | | | | |",
    ]
