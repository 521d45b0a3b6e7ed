"""Begin where another run ended: its best weights, for what the two networks have in common.

The networks must be of the same form: the same backbone, input size and hidden layer. Labels are matched by name; what
the other run did not know begins as ever. Never reads the other run's images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.backbone import BackboneSpec
from trainer.errors import RunError
from trainer.head import Classifier, Head
from trainer.run import ModelDescription, Run

_HEAD, _ENCODER = "head.", "encoder."
_BY_LABEL = ("output.weight", "output.bias")  # their rows are labels


@dataclass(frozen=True)
class WarmStart:
    """description, weights: of the other run's best model."""

    description: ModelDescription
    weights: dict[str, Tensor]

    def begin_head(self, head: Head, labels: tuple[str, ...]) -> int:
        """Put its weights into the head, standardisation included. Returns how many labels it knew."""
        given = {name.removeprefix(_HEAD): value for name, value in self.weights.items() if self._is_of_head(name)}
        common = [(row, self.description.labels.index(label)) for row, label in enumerate(labels) if self.knows(label)]
        state = head.state_dict()
        for name, value in given.items():
            if name not in _BY_LABEL:
                state[name] = value
        rows, theirs = (torch.tensor(side, dtype=torch.long) for side in zip(*common, strict=True))
        for name in _BY_LABEL:
            state[name][rows] = given[name][theirs]
        head.load_state_dict(state)
        return len(common)

    def begin(self, network: Classifier, labels: tuple[str, ...]) -> int:
        """The whole network, of a run whose encoder was trained. Returns how many labels it knew."""
        encoder = {
            name.removeprefix(_ENCODER): value for name, value in self.weights.items() if name.startswith(_ENCODER)
        }
        network.encoder.load_state_dict(encoder)
        return self.begin_head(network.head, labels)

    def knows(self, label: str) -> bool:
        return label in self.description.labels

    def _is_of_head(self, name: str) -> bool:
        return name.startswith(_HEAD) if self.description.encoder_trained else True


def read_warm_start(run: Run, backbone: BackboneSpec, hidden_units: int, *, frozen: bool) -> WarmStart:
    """frozen: the encoder of the new run is not trained from random weights.

    Raises RunError where the run has no model, or one of another form.
    """
    description = run.model()
    theirs = description.backbone
    for what, wanted, found in (
        ("backbone", backbone.sha256, theirs.sha256),
        ("input size", (backbone.width, backbone.height), (theirs.width, theirs.height)),
        ("hidden units", hidden_units, description.hidden_units),
        ("training of the backbone", "not trained" if frozen else "trained",
         "trained" if description.encoder_trained else "not trained"),
    ):  # fmt: skip
        if wanted != found:
            told = [str(value)[:12] if what == "backbone" else str(value) for value in (wanted, found)]
            raise RunError(
                f"{run.folder}: expected a run to begin from with the same {what}, {told[0]}, found {told[1]}. Choose"
                " another run, or train as that one was trained."
            )
    return WarmStart(description, run.load_tensors(run.weights_path("best")))


def check_labels_in_common(warm: WarmStart, labels: tuple[str, ...]) -> None:
    """Raises RunError where the run knew none of these labels: nothing would be begun with."""
    if not any(warm.knows(label) for label in labels):
        raise RunError(
            f"expected a run to begin from that knew one of the labels {', '.join(labels[:5])}, found none of them in"
            f" it: {', '.join(warm.description.labels[:5])}. Choose another run, or none."
        )
