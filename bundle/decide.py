"""From logits to an answer: probabilities, energy, labels, unknown. Plain numpy, float64 inside, float32 out.

The same mathematics stands inside the exported graph; this is the reference that the graph is compared with.
Never raises on extreme finite logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Manifest, Task

Float32Array = NDArray[np.float32]
_LARGEST = np.finfo(np.float32).max


@dataclass(frozen=True, slots=True)
class LabelScore:
    """One label's share of an answer. probability and threshold in [0, 1]; above: probability >= threshold."""

    label: str
    probability: float
    threshold: float
    above: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one image.

    scores: every label, highest probability first, ties in the manifest's order.
    labels: what is claimed of the image, highest probability first; empty where nothing is, always so if unknown.
    unknown: the image resembles nothing that the model was trained on.
    """

    scores: tuple[LabelScore, ...]
    labels: tuple[str, ...]
    unknown: bool


def probabilities_from_logits(logits: NDArray[Any], task: Task, temperature: float = 1.0) -> Float32Array:
    """Softmax (single_label) or sigmoid (multi_label) of logits / temperature.

    logits: (N, C) of any float type, finite.  temperature: above 0.  Returns (N, C) in [0, 1].
    Source: Guo et al. 2017, section 4 (temperature scaling).
    """
    scaled = _check_logits(logits) / temperature
    if Task(task) is Task.SINGLE_LABEL:
        exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))  # (N, C), largest is 1: no overflow
        result = exponentials / exponentials.sum(axis=1, keepdims=True)
    else:
        small = np.exp(-np.abs(scaled))  # in (0, 1]: no overflow on either side
        result = np.where(scaled >= 0, 1.0, small) / (1.0 + small)
    return result.astype(np.float32)  # type: ignore[no-any-return]


def energy(logits: NDArray[Any], task: Task) -> Float32Array:
    """How strongly the logits speak for anything known; higher is more familiar. Without temperature.

    logits: (N, C), finite.  Returns (N,): log-sum-exp of the logits (single_label; Liu et al. 2020, section 3, the
    negative energy at T = 1) or the sum of softplus(logit) (multi_label; Wang et al. 2021, JointEnergy).
    """
    logits = _check_logits(logits)
    if Task(task) is Task.SINGLE_LABEL:
        top = logits.max(axis=1)
        result = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    else:
        result = np.logaddexp(0.0, logits).sum(axis=1)
    return result.clip(-_LARGEST, _LARGEST).astype(np.float32)  # type: ignore[no-any-return]


def decide(manifest: Manifest, probabilities: NDArray[Any], logits: NDArray[Any]) -> Decision:
    """The answer for one image's scores.

    probabilities, logits: (C,) in the order of manifest.labels.
    single_label claims the top label, multi_label every label, where the probability reaches the label's threshold
    (both compared as float32, so that a threshold taken from a probability is reached by that probability). Where the
    energy lies below the manifest's energy threshold, the image is unknown and nothing is claimed. Raises ValueError
    where a shape is not (C,).
    """
    count = len(manifest.labels)
    if np.shape(probabilities) != (count,) or np.shape(logits) != (count,):
        raise ValueError(
            f"expected probabilities and logits of shape ({count},), one a label, found {np.shape(probabilities)} and"
            f" {np.shape(logits)}. Pass one image's scores."
        )
    values = np.asarray(probabilities, np.float32).tolist()  # plain numbers: with few labels, an array costs more
    order = sorted(range(count), key=values.__getitem__, reverse=True)  # stable
    scores = tuple(
        LabelScore(
            manifest.labels[index], values[index], manifest.thresholds[index],
            values[index] >= manifest.float32_thresholds[index],
        )
        for index in order
    )  # fmt: skip
    unknown = is_unknown(manifest, logits)
    candidates = scores[:1] if manifest.task is Task.SINGLE_LABEL else scores
    labels = () if unknown else tuple(score.label for score in candidates if score.above)
    return Decision(scores, labels, unknown)


def is_unknown(manifest: Manifest, logits: NDArray[Any]) -> bool:
    """Whether the energy of these logits (C,) lies below the manifest's threshold; False where it has none."""
    if manifest.unknown is None:
        return False
    return bool(energy(np.asarray(logits)[None], manifest.task)[0] < np.float32(manifest.unknown.energy_threshold))


def _check_logits(logits: NDArray[Any]) -> NDArray[np.float64]:
    array = np.asarray(logits, np.float64)
    if array.ndim != 2 or array.shape[1] < 1:
        raise ValueError(f"expected logits of shape (N, C), found {array.shape}. Add the batch dimension.")
    return array
