"""One model that serves: image bytes in, a decision out. Decode, infer, decide, in this order; nothing else.

Knows neither HTTP nor files. Everything it says of itself comes from the signed manifest or from the engine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from bundle.decide import Decision, decide
from bundle.decode import ImageLimits
from bundle.errors import ImageError
from bundle.manifest import Manifest, Variant
from bundle.preprocess import preprocess
from server.engines.protocol import Engine, Scores
from server.errors import EngineError, Overloaded

# Of a request with many images so many are in memory as pixels at once.
IMAGES_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Where a model came from: project, the bundle's file name, the SHA-256 of its manifest and who signed it."""

    project: str
    file_name: str
    manifest_sha256: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer. Times in milliseconds; of images that were answered together, the inference time of all of them."""

    decision: Decision
    decode_ms: float
    inference_ms: float


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A loaded, proven and warm model. variant: the form of it that runs.

    golden_difference: the largest seen in its golden replay on this machine.
    """

    facts: ModelFacts
    manifest: Manifest
    variant: Variant
    engine: Engine
    limits: ImageLimits
    golden_difference: float

    @property
    def label(self) -> str:
        """Project and name, for log lines."""
        return f"{self.facts.project}/{self.manifest.name}"

    def with_thresholds(self, thresholds: Sequence[float]) -> ServedModel:
        """The same model, decided by other thresholds: one a label in the manifest's order. Raises ValueError."""
        return replace(self, manifest=self.manifest.with_thresholds(thresholds))

    def predict(self, data: bytes, deadline: float | None = None) -> Prediction:
        """Answer for one image file's bytes.

        deadline: see Engine.  Raises an ImageError, Overloaded, or EngineError when the model fails on the image.
        """
        started = perf_counter()
        image = preprocess(data, self.manifest.preprocessing, self.limits)  # (H, W, 3) uint8
        decoded = perf_counter()
        probabilities, logits = self.infer_arrays(image[np.newaxis], deadline)  # (1, H, W, 3) -> (1, C) twice
        decision = decide(self.manifest, probabilities[0], logits[0])
        finished = perf_counter()
        return Prediction(decision, (decoded - started) * 1e3, (finished - decoded) * 1e3)

    def predict_many(self, images: Sequence[bytes], deadline: float | None = None) -> list[Prediction | ImageError]:
        """Answers in the images' order; one that cannot be read has its error in place of an answer.

        Raises Overloaded or EngineError.
        """
        answers: list[Prediction | ImageError] = []
        for at in range(0, len(images), IMAGES_AT_ONCE):
            answers += self._predict_together(images[at : at + IMAGES_AT_ONCE], deadline)
        return answers

    def _predict_together(self, images: Sequence[bytes], deadline: float | None) -> list[Prediction | ImageError]:
        decoded: list[tuple[NDArray[np.uint8], float] | ImageError] = []
        for data in images:
            started = perf_counter()
            try:
                image = preprocess(data, self.manifest.preprocessing, self.limits)
                decoded.append((image, (perf_counter() - started) * 1e3))
            except ImageError as error:
                decoded.append(error)
        good = [each for each in decoded if not isinstance(each, ImageError)]
        if not good:
            return [each for each in decoded if isinstance(each, ImageError)]
        started = perf_counter()
        probabilities, logits = self.infer_arrays(np.stack([image for image, _ in good]), deadline)
        inference_ms = (perf_counter() - started) * 1e3
        row = iter(range(len(good)))
        answers: list[Prediction | ImageError] = []
        for each in decoded:
            if isinstance(each, ImageError):
                answers.append(each)
            else:
                place = next(row)
                decision = decide(self.manifest, probabilities[place], logits[place])
                answers.append(Prediction(decision, each[1], inference_ms))
        return answers

    def infer_arrays(self, images: NDArray[np.uint8], deadline: float | None = None) -> Scores:
        """images: (N, H, W, 3) uint8 RGB, H and W as the manifest says. Returns probabilities and logits, (N, C) each.

        Raises Overloaded, or EngineError when the model fails.
        """
        try:
            probabilities, logits = self.engine.infer(images, deadline)
        except Overloaded:
            raise
        except Exception as error:  # whatever a runtime throws, the answer is the same
            raise EngineError(f"{self.manifest.name}: the runtime failed: {error}") from error
        # One number that is not finite makes the sum so; a sum of float32 in float64 does not overflow by itself.
        if not math.isfinite(probabilities.sum(dtype=np.float64) + logits.sum(dtype=np.float64)):
            raise EngineError(f"{self.manifest.name}: the model answered with numbers that are not finite")
        return probabilities, logits
