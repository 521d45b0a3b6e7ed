"""How good a model is: `compute_statistics` turns the scores of its splits into one `Statistics` document."""

from trainer.statistics.document import (
    ClassMetrics,
    ImagePrediction,
    Note,
    PrecisionRecallCurve,
    SplitStatistics,
    Statistics,
    models_from_json,
    models_to_json,
)
from trainer.statistics.scores import SPLITS, InvalidScores, SplitScores
from trainer.statistics.summary import compute_statistics

__all__ = [
    "SPLITS",
    "ClassMetrics",
    "ImagePrediction",
    "InvalidScores",
    "Note",
    "PrecisionRecallCurve",
    "SplitScores",
    "SplitStatistics",
    "Statistics",
    "compute_statistics",
    "models_from_json",
    "models_to_json",
]
