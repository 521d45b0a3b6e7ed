"""The proof itself: a graph that differs from the trained network in anything is found out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from tiny_runs import TinyRun

from bundle.archive import read_archive
from bundle.decide import probabilities_from_logits
from bundle.golden import Infer
from bundle.manifest import ParityReport, parse_manifest
from bundle.preprocess import preprocess
from exporter.errors import ParityError
from exporter.parity import BATCH_SIZES, Reference, cpu_infer, make_reference, prove_parity

Images = NDArray[np.uint8]
Scores = tuple[NDArray[np.float32], NDArray[np.float32]]


class Proof:
    """A run's reference and its graph, to be compared once more with one of them changed."""

    def __init__(self, tiny: TinyRun, bundle: Path) -> None:
        files = read_archive(bundle)
        self.manifest = parse_manifest(files["manifest.json"])
        self.graph = files["model.onnx"]
        self.temperature = self.manifest.calibration.temperature
        snapshot = tiny.run.snapshot()
        rows = np.arange(0, 90, 5)
        images = np.stack(
            [preprocess((tiny.images / snapshot.paths[row]).read_bytes(), self.manifest.preprocessing) for row in rows]
        )
        with np.load(tiny.run.predictions_path) as file:
            recorded = file["best_logits"][rows]
        classifier = tiny.run.classifier("best")
        self.reference = make_reference(classifier, self.manifest.task, self.temperature, images, recorded)

    def prove(self, infer: Infer | None = None, reference: Reference | None = None) -> ParityReport:
        return prove_parity(
            reference or self.reference, infer or cpu_infer(self.graph), self.manifest.task, self.temperature,
            self.manifest.thresholds,
        )  # fmt: skip

    def changed_graph(self, change: Callable[[onnx.GraphProto], None]) -> Infer:
        model = onnx.load_from_string(self.graph)
        change(model.graph)
        return cpu_infer(model.SerializeToString())


@pytest.fixture(scope="module")
def proof(single_run: TinyRun, single_bundle: Path) -> Proof:
    return Proof(single_run, single_bundle)


def test_the_exported_graph_is_proven_at_every_batch_size(proof: Proof) -> None:
    report = proof.prove()
    assert report.images == 18
    assert report.batch_sizes == BATCH_SIZES == (1, 2, 7, 32)
    assert report.max_difference < 1e-5
    assert report.decisions_flipped == 0


def scale_weights(graph: onnx.GraphProto) -> None:
    """Every weight of the largest tensor 0.1 % larger."""
    largest = max(graph.initializer, key=lambda tensor: len(tensor.raw_data))
    largest.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(largest) * np.float32(1.001), largest.name))


def test_a_graph_with_other_weights_is_refused(proof: Proof) -> None:
    with pytest.raises(ParityError, match=r"batch size 1, image .*: expected probabilities within 1e-05"):
        proof.prove(proof.changed_graph(scale_weights))


def test_a_graph_with_another_temperature_is_refused(proof: Proof) -> None:
    infer = cpu_infer(proof.graph)

    def warmer(images: Images) -> Scores:
        logits = infer(images)[1]
        return probabilities_from_logits(logits, proof.manifest.task, proof.temperature * 1.01), logits

    with pytest.raises(ParityError, match="expected probabilities within"):
        proof.prove(warmer)


def test_a_graph_whose_logits_differ_behind_equal_probabilities_is_refused(proof: Proof) -> None:
    infer = cpu_infer(proof.graph)

    def shifted(images: Images) -> Scores:
        probabilities, logits = infer(images)
        return probabilities, logits + np.float32(0.5)  # softmax does not see it; the energy does

    with pytest.raises(ParityError, match=r"expected logits within 0\.001"):
        proof.prove(shifted)


def test_a_graph_that_is_wrong_at_one_batch_size_alone_is_refused(proof: Proof) -> None:
    infer = cpu_infer(proof.graph)

    def wrong_at_seven(images: Images) -> Scores:
        return infer(images[::-1] if len(images) == 7 else images)

    with pytest.raises(ParityError, match="batch size 7"):
        proof.prove(wrong_at_seven)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_graph_that_answers_no_number_is_refused(proof: Proof, value: float) -> None:
    infer = cpu_infer(proof.graph)

    def broken(images: Images) -> Scores:
        probabilities, logits = infer(images)
        logits[-1, 0] = value
        return probabilities, logits

    with pytest.raises(ParityError, match="expected finite logits, found NaN or infinity for 18 of 18 images"):
        proof.prove(broken)


def test_recorded_scores_that_differ_are_refused(proof: Proof) -> None:
    before = proof.reference
    recorded = before.recorded.copy()
    recorded[3] = recorded[3][::-1]
    with pytest.raises(ParityError, match="expected the model to give the scores that the run's statistics"):
        proof.prove(reference=Reference(before.images, before.probabilities, before.logits, recorded))


def test_recorded_logits_that_differ_behind_equal_probabilities_are_refused(proof: Proof) -> None:
    before = proof.reference
    shifted = Reference(before.images, before.probabilities, before.logits, before.recorded + np.float32(0.5))
    with pytest.raises(ParityError, match="of a logit"):
        proof.prove(reference=shifted)
