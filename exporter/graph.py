"""The graph that is shipped: uint8 images in, calibrated probabilities and raw logits out.

Normalisation, layout, temperature and softmax or sigmoid are inside, so that no server can get them wrong.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bundle.manifest import Task
from trainer.onnx_graph import export_onnx

INPUT, PROBABILITIES, LOGITS = "images", "probabilities", "logits"


class ServedClassifier(nn.Module):
    """uint8 (N,H,W,3) -> probabilities (N,C) after the temperature, logits (N,C) before it."""

    def __init__(self, classifier: nn.Module, task: Task, temperature: float) -> None:
        super().__init__()
        self.classifier = classifier
        self.exclusive = task is Task.SINGLE_LABEL
        self.temperature = temperature

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.classifier(images)
        scaled = logits / self.temperature
        return (scaled.softmax(dim=1) if self.exclusive else scaled.sigmoid()), logits


def build_onnx(served: ServedClassifier, height: int, width: int) -> bytes:
    """ONNX bytes of the served classifier; the same weights give the same bytes."""
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    return export_onnx(served, example, input_name=INPUT, output_names=[PROBABILITIES, LOGITS])
