"""Build the whole statistics document of one model.

In order: check the scores, fit the temperature, choose thresholds, choose the energy threshold, measure every split.
Whatever cannot be done as asked (no validation images, a label without images) is done the next best way and said in
the notes; nothing here reads or writes a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Calibration, Task, UnknownRejection
from trainer.statistics.calibration import fit_temperature
from trainer.statistics.curves import DEFAULT_THRESHOLD, best_f1_threshold, rank_curve
from trainer.statistics.document import Note, Statistics, Thresholds
from trainer.statistics.scores import SPLITS, SplitScores, check_scores
from trainer.statistics.splits import Settings, split_energy, split_probabilities, split_statistics

_ENERGY_PERCENTILE: Final = 1.0
_LABELS_NAMED: Final = 5


def compute_statistics(
    task: Task,
    labels: Sequence[str],
    splits: Mapping[str, SplitScores],
    *,
    thresholds_from: Literal["validation", "train"] = "validation",
    seed: int = 0,
    resamples: int = 1000,
) -> Statistics:
    """Measure one model on its splits (any of train, validation, test; missing or empty ones are left out and noted).

    Temperature and energy threshold come from validation, F1 thresholds from `thresholds_from`; where that split holds
    no images, from train; where that holds none either, the temperature is 1, the energy threshold comes from test and
    thresholds are 0.5.
    resamples: of the bootstrap; large splits use fewer (see SplitStatistics.bootstrap). Same input and seed, same
    document. Raises InvalidScores where the arrays do not fit one another, their labels or their task.
    """
    task = Task(task)
    if thresholds_from not in ("validation", "train"):
        raise ValueError(f"thresholds_from: expected validation or train, found {thresholds_from!r}.")
    held = check_scores(task, labels, splits)
    notes = [Note(code=f"NO_{name.upper()}_IMAGES", message=_without(name)) for name in SPLITS if name not in held]
    temperature, fitted_on = _temperature(task, held, notes)
    thresholds, chosen_from = _thresholds(task, labels, held, thresholds_from, temperature, notes)
    energy_threshold, known_rejected = _energy_threshold(task, held)
    settings = Settings(task, tuple(labels), temperature, thresholds, energy_threshold, resamples)
    # one independent stream a split, so that a split's intervals do not depend on which others exist
    streams = dict(zip(SPLITS, np.random.default_rng(seed).spawn(len(SPLITS)), strict=True))
    measured = {name: split_statistics(scores, settings, streams[name]) for name, scores in held.items()}
    single = task is Task.SINGLE_LABEL
    reference = measured.get(fitted_on)
    return Statistics(
        task=task,
        labels=tuple(labels),
        notes=tuple(notes),
        calibration=Calibration(
            temperature=temperature,
            fitted_on=fitted_on,
            ece_before=None if reference is None else reference.calibration.before.expected_calibration_error,
            ece_after=None if reference is None else reference.calibration.after.expected_calibration_error,
        ),
        thresholds=Thresholds(
            chosen_from="none" if single else chosen_from,
            objective="most_probable" if single else "f1",
            values=tuple([0.0] * len(labels) if single else thresholds.tolist()),
        ),
        unknown=UnknownRejection(energy_threshold=energy_threshold, known_rejected_fraction=known_rejected),
        splits=measured,
    )


def _temperature(task: Task, held: Mapping[str, SplitScores], notes: list[Note]) -> tuple[float, str]:
    fitted_on = next((name for name in ("validation", "train") if name in held), "none")
    if fitted_on == "none":
        notes.append(Note(code="NOT_CALIBRATED", message="Probabilities are not calibrated: only test images exist."))
        return 1.0, fitted_on
    if fitted_on == "train":
        notes.append(
            Note(
                code="CALIBRATED_ON_TRAIN",
                message="Without validation images, probabilities are calibrated on training images and look too sure.",
            )
        )
    fit = fit_temperature(held[fitted_on].logits, held[fitted_on].truth, task)
    if fit.note:
        notes.append(Note(code="TEMPERATURE_LIMITED", message=f"Calibration on {fitted_on}: {fit.note}."))
    return fit.temperature, fitted_on


def _thresholds(
    task: Task,
    labels: Sequence[str],
    held: Mapping[str, SplitScores],
    wanted: str,
    temperature: float,
    notes: list[Note],
) -> tuple[NDArray[np.float64], str]:
    """Best F1 of each label against the rest: (C,) in [0, 1]; the notes matter only where decisions use them."""
    values = np.full(len(labels), DEFAULT_THRESHOLD)
    chosen_from = next((name for name in (wanted, "train", "validation") if name in held), "none")
    if chosen_from == "none":
        fallback = "Every threshold is 0.5: there are no validation or training images to choose from."
    else:
        fallback = f"Thresholds are chosen on {chosen_from} images, as there are no {wanted} images."
    said = task is Task.MULTI_LABEL
    if said and chosen_from != wanted:
        notes.append(Note(code="THRESHOLDS_FALLBACK", message=fallback))
    if chosen_from == "none":
        return values, chosen_from
    scores = held[chosen_from]
    probabilities = split_probabilities(scores.logits, task, temperature)
    without = []
    for place, label in enumerate(labels):
        curve = rank_curve(scores.truth[:, place], probabilities[:, place])
        if curve is None:
            without.append(label)
        else:
            values[place] = best_f1_threshold(curve)
    if said and without:
        named = ", ".join(without[:_LABELS_NAMED]) + (" and others" if len(without) > _LABELS_NAMED else "")
        message = f"{len(without)} label(s) without {chosen_from} images keep the threshold 0.5: {named}."
        notes.append(Note(code="THRESHOLD_DEFAULT", message=message))
    return values, chosen_from


def _energy_threshold(task: Task, held: Mapping[str, SplitScores]) -> tuple[float, float]:
    """The first percentile of energy, and the share of those images below it."""
    reference = next(name for name in ("validation", "train", "test") if name in held)
    found = split_energy(held[reference].logits, task)
    threshold = float(f"{np.percentile(found.astype(np.float64), _ENERGY_PERCENTILE):.6g}")
    return threshold, float(np.mean(found < np.float32(threshold)))


def _without(split: str) -> str:
    if split == "test":
        return (
            "There are no test images. The validation images chose the model, its temperature and its thresholds, so"
            " figures on them flatter: keep a share of the images aside as test images (--test 0.2)."
        )
    return f"There are no {split} images, so nothing is measured on them."
