"""One model that serves: image bytes in, a decision out. Decode, infer, decide, in this order; nothing else.

Knows neither HTTP nor files. Everything it says of itself comes from the signed manifest or from the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np

from bundle.decide import Decision, decide
from bundle.decode import ImageLimits
from bundle.manifest import Manifest
from bundle.preprocess import preprocess
from server.engines.protocol import Engine
from server.errors import EngineError


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Where a model came from: project, the bundle's file name, the SHA-256 of its manifest and who signed it."""

    project: str
    file_name: str
    manifest_sha256: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer. Times in milliseconds."""

    decision: Decision
    decode_ms: float
    inference_ms: float


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A loaded, proven and warm model. golden_difference: the largest seen in its golden replay on this machine."""

    facts: ModelFacts
    manifest: Manifest
    engine: Engine
    limits: ImageLimits
    golden_difference: float

    @property
    def label(self) -> str:
        """Project and name, for log lines."""
        return f"{self.facts.project}/{self.manifest.name}"

    def predict(self, data: bytes) -> Prediction:
        """Answer for one image file's bytes. Raises an ImageError, or EngineError when the model fails on it."""
        started = perf_counter()
        image = preprocess(data, self.manifest.preprocessing, self.limits)  # (H, W, 3) uint8
        decoded = perf_counter()
        try:
            probabilities, logits = self.engine.infer(image[np.newaxis])  # (1, H, W, 3) -> (1, C) twice
        except Exception as error:  # whatever a runtime throws, the answer is the same
            raise EngineError(f"{self.manifest.name}: the runtime failed: {error}") from error
        if not (np.isfinite(probabilities).all() and np.isfinite(logits).all()):
            raise EngineError(f"{self.manifest.name}: the model answered with numbers that are not finite")
        decision = decide(self.manifest, probabilities[0], logits[0])
        finished = perf_counter()
        return Prediction(decision, (decoded - started) * 1e3, (finished - decoded) * 1e3)
