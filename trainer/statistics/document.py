"""The statistics document: what was measured of one model, as frozen types and as JSON.

The JSON holds finite numbers only (null where something is not defined), rounded to six significant digits, with its
keys in the order below. Fields are added, never renamed, within one schema version.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bundle.manifest import Calibration, Frozen, MetricEstimate, Task, UnknownRejection

STATISTICS_SCHEMA_VERSION: Final = 1


class Note(Frozen):
    """Something that the reader of these figures must know; the code is stable, the message is for people."""

    code: str
    message: str


class Average(Frozen):
    precision: float
    recall: float
    f1: float


class ClassMetrics(Frozen):
    """One label against the rest; decided by the most probable label (single-label) or its threshold (multi-label)."""

    label: str
    images: int = Field(description="images that carry the label")
    predicted: int = Field(description="images that the model gave the label")
    accuracy: float
    precision: float
    recall: float
    f1: float
    mcc: float
    average_precision: float | None = Field(description="null where no image carries the label")


class PrecisionRecallCurve(Frozen):
    """At most 200 points in order of rising recall, and the point at the chosen threshold."""

    label: str | None = Field(description="null: all labels' scores pooled (micro-average)")
    average_precision: float = Field(description="of the full curve, not of the stored points")
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    threshold: tuple[float, ...]
    chosen_threshold: float | None = Field(description="best F1 on the split that thresholds are chosen from")
    chosen_recall: float | None = None
    chosen_precision: float | None = None


class ConfusionMatrix(Frozen):
    """Single-label: how often each truth met each prediction."""

    classes: int
    cells: tuple[tuple[int, int, int], ...] = Field(description="(truth, prediction, images) of every non-empty cell")

    def dense(self) -> NDArray[np.int64]:
        """(C, C) int64; rows are the truth, columns the prediction."""
        matrix = np.zeros((self.classes, self.classes), dtype=np.int64)
        for truth, predicted, images in self.cells:
            matrix[truth, predicted] = images
        return matrix


class ReliabilityBin(Frozen):
    """Answers with a confidence in (lower, upper]; the first bin also holds 0."""

    lower: float
    upper: float
    count: int
    confidence: float | None = Field(description="mean confidence; null where the bin is empty")
    accuracy: float | None = Field(description="share of answers that are right; null where the bin is empty")


class Reliability(Frozen):
    expected_calibration_error: float
    bins: tuple[ReliabilityBin, ...]


class SplitCalibration(Frozen):
    """Reliability before and after temperature scaling."""

    before: Reliability
    after: Reliability


class LabelProbability(Frozen):
    label: str
    probability: float


class ImagePrediction(Frozen):
    """An image: what is true of it, what the model decided, and its five most probable labels."""

    image_id: str
    loss: float
    correct: bool
    truth: tuple[LabelProbability, ...]
    decided: tuple[LabelProbability, ...]
    top: tuple[LabelProbability, ...]


class Bootstrap(Frozen):
    """How the intervals were made; resamples of average precision are 0 where the split is too large for them."""

    confidence: float
    count_resamples: int
    image_resamples: int
    average_precision_resamples: int


class SplitStatistics(Frozen):
    """Everything measured on one split, all probabilities after temperature scaling."""

    images: int
    label_counts: dict[str, int]
    metrics: dict[str, MetricEstimate] = Field(description="headline figures with their 95 % intervals")
    averages: dict[str, Average] = Field(description="micro, macro, weighted")
    classes: tuple[ClassMetrics, ...]
    confusion: ConfusionMatrix | None = Field(description="single-label only")
    pooled_curve: PrecisionRecallCurve | None
    curves: tuple[PrecisionRecallCurve, ...] = Field(description="of each label that has images here")
    calibration: SplitCalibration
    known_rejected_fraction: float = Field(description="share of these images that the energy threshold calls unknown")
    worst: tuple[ImagePrediction, ...]
    bootstrap: Bootstrap


class Thresholds(Frozen):
    """The probability from which a label counts as present, one a label, as a bundle's manifest takes them.

    Single-label: all 0, since the most probable label is the answer, however probable; so it was measured here.
    """

    chosen_from: str = Field(description="the split, or none")
    objective: Literal["f1", "most_probable"]
    values: tuple[float, ...]


class Statistics(Frozen):
    """The document of one model. `calibration` and `unknown` are in the form that a bundle's manifest takes."""

    schema_version: Literal[1] = STATISTICS_SCHEMA_VERSION
    task: Task
    labels: tuple[str, ...]
    notes: tuple[Note, ...]
    calibration: Calibration
    thresholds: Thresholds
    unknown: UnknownRejection
    splits: dict[str, SplitStatistics] = Field(description="in the order train, validation, test; absent where empty")

    def to_json(self) -> str:
        return _dumps(self.model_dump(mode="python"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Statistics:
        """Raises pydantic.ValidationError where the text is not such a document."""
        return cls.model_validate_json(text)


def models_to_json(models: Mapping[str, Statistics]) -> str:
    """The run's statistics.json: `{"schema_version": 1, "models": {"best": ..., "last": ...}}`."""
    documents = {name: statistics.model_dump(mode="python") for name, statistics in models.items()}
    return _dumps({"schema_version": STATISTICS_SCHEMA_VERSION, "models": documents})


def models_from_json(text: str | bytes) -> dict[str, Statistics]:
    """Read what `models_to_json` wrote. Raises ValueError where the text is something else."""
    document = json.loads(text)
    models = document.get("models") if isinstance(document, dict) else None
    if not isinstance(models, dict):
        raise ValueError("statistics.json: expected an object with `models`, found none. Train again.")
    return {name: Statistics.model_validate(statistics) for name, statistics in models.items()}


def _dumps(document: Any) -> str:
    return json.dumps(_plain(document), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
