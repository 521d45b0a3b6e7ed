"""How good a model is: `compute_statistics` turns the scores of its splits into one `Statistics` document."""

from trainer.statistics.document import (
    ClassMetrics,
    Note,
    PrecisionRecallCurve,
    SplitStatistics,
    Statistics,
    WorstPrediction,
    models_from_json,
    models_to_json,
)
from trainer.statistics.scores import SPLITS, InvalidScores, SplitScores
from trainer.statistics.summary import compute_statistics

__all__ = [
    "SPLITS",
    "ClassMetrics",
    "InvalidScores",
    "Note",
    "PrecisionRecallCurve",
    "SplitScores",
    "SplitStatistics",
    "Statistics",
    "WorstPrediction",
    "compute_statistics",
    "models_from_json",
    "models_to_json",
]
