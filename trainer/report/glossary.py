"""One line on every term that the report uses, for its tooltips and its glossary."""

from __future__ import annotations

from typing import Final

from bundle.manifest import Task

_SHARED: Final = {
    "precision": ("Precision", "Of the images that were given this label, the share that truly carry it."),
    "recall": ("Recall", "Of the images that truly carry this label, the share that were given it."),
    "f1": ("F1", "The harmonic mean of precision and recall: high only when both are high."),
    "micro": (
        "Micro average",
        "Computed from the decisions of all labels together, so that frequent labels weigh more.",
    ),
    "macro": ("Macro average", "The plain mean over labels, so that a rare label counts as much as a frequent one."),
    "weighted": ("Weighted average", "The mean over labels, weighted by how many images carry each of them."),
    "mcc": (
        "Matthews correlation",
        "How well decisions and truth agree, from -1 to 1; 0 is no better than chance, also with unequal labels.",
    ),
    "cross_entropy": (
        "Cross-entropy",
        "The mean surprise of the model at the truth, in nats: lower is better; training minimises it.",
    ),
    "precision_recall_curve": (
        "Precision-recall curve",
        "Precision against recall while the threshold falls from 1 to 0. Nearer to the top right is better.",
    ),
    "average_precision": ("Average precision (AP)", "The area under a label's precision-recall curve, from 0 to 1."),
    "mean_average_precision": (
        "Mean average precision (mAP)",
        "The mean of average precision over all labels; it does not depend on thresholds.",
    ),
    "f1_curves": ("Lines of equal F1", "Faint curves in the plot: every point on one has the same F1."),
    "expected_calibration_error": (
        "Expected calibration error (ECE)",
        "How far confidence and accuracy lie apart on average: 0% means that of answers given with 80%, 80% are right.",
    ),
    "temperature": (
        "Temperature",
        "A number that all scores are divided by, fitted once so that probabilities can be believed. Above 1: the model"
        " was too sure.",
    ),
    "reliability": (
        "Reliability diagram",
        "Answers grouped by confidence: bars on the diagonal mean that confidence equals accuracy.",
    ),
    "interval": (
        "95% interval",
        "The range in which the figure falls for 95 of 100 redrawn sets of images of the same kind (bootstrap).",
    ),
    "images": ("Images", "How many images of the split truly carry the label."),
    "predicted": ("Predicted", "How many images of the split the model gave the label."),
    "loss": ("Loss", "The cross-entropy of one image: how surprised the model was by its truth."),
    "unknown": (
        "Unknown",
        "An image whose energy (a measure of familiarity) lies below the threshold is answered with “unknown”.",
    ),
    "train": ("Train", "Images that the model learned from. Its figures here say how much it can remember."),
    "validation": (
        "Validation",
        "Images held back to choose the best model, the temperature and the thresholds.",
    ),
    "test": ("Test", "Images never used to learn or to choose: the fairest estimate of new images."),
    "best": ("Best model", "The model after the epoch with the lowest validation cross-entropy."),
    "last": ("Last model", "The model when training ended."),
    "epoch": ("Epoch", "One pass over all training images."),
}
_SINGLE: Final = {
    "accuracy": ("Accuracy", "The share of images whose most probable label is the true one."),
    "confusion": (
        "Confusion matrix",
        "Rows are true labels, columns are predicted ones: everything off the diagonal is a mistake.",
    ),
}
_MULTI: Final = {
    "accuracy": ("Label accuracy", "The share of decisions, present or absent, that are right over all labels."),
    "exact_match": ("Exact match", "The share of images on which every label is right at once."),
    "hamming_loss": ("Hamming loss", "The share of decisions, present or absent, that are wrong over all labels."),
    "threshold": (
        "Threshold",
        "The probability from which a label counts as present, chosen for the best F1.",
    ),
}


def glossary(task: Task) -> dict[str, tuple[str, str]]:
    """Key -> (term, definition), in alphabetical order of the terms."""
    terms = _SHARED | (_SINGLE if task is Task.SINGLE_LABEL else _MULTI)
    return dict(sorted(terms.items(), key=lambda item: item[1][0].casefold()))
