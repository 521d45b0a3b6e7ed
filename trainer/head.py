"""The trainable end of a classifier, and the whole classifier: features -> logits, image -> logits.

`Head` standardises its features with the training set's mean and deviation, which travel as buffers, so that a saved
head needs nothing beside it.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer.backbone import ImageEncoder

CLAMP = 6.0  # deviations; one freak activation must not decide
LEAST_VARIATION = 1e-3  # deviation over mean; MobileNetV2 on TrashNet: always above 1e-2


class Head(nn.Module):
    """Features (N,D) -> logits (N,C): standardise, then one hidden layer (or none) with dropout."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, feature_count: int, label_count: int, hidden_units: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(feature_count))
        self.register_buffer("deviation", torch.ones(feature_count))
        self.input_dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(feature_count, hidden_units) if hidden_units else None
        self.hidden_dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_units or feature_count, label_count)
        nn.init.zeros_(self.output.weight)

    def forward(self, features: Tensor) -> Tensor:
        x = ((features - self.mean) / self.deviation).clamp(-CLAMP, CLAMP)  # (N,D)
        x = self.input_dropout(x)
        if self.hidden is not None:
            x = self.hidden_dropout(nn.functional.gelu(self.hidden(x)))  # (N,D) -> (N,hidden)
        logits: Tensor = self.output(x)  # -> (N,C)
        return logits

    def standardise(self, features: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        """Take mean and deviation of the training rows of features (N,D), block by block: a memory-mapped array stays
        on disk.
        """
        count, total, squares = len(rows), 0.0, 0.0
        for start in range(0, count, 4096):
            block = np.asarray(features[rows[start : start + 4096]], np.float64)
            total = total + block.sum(0)
            squares = squares + (block**2).sum(0)
        mean = total / count
        variance = np.maximum(squares / count - mean**2, 0)
        self.mean.copy_(torch.as_tensor(mean, dtype=torch.float32))
        # a feature that hardly varies must not have its rounding magnified: batch sizes and graphs differ in that
        deviation = np.maximum(np.sqrt(variance), LEAST_VARIATION * np.abs(mean)) + 1e-6
        self.deviation.copy_(torch.as_tensor(deviation, dtype=torch.float32))

    def start_from_priors(self, label_matrix: NDArray[np.bool_], *, exclusive: bool) -> None:
        """Set the output bias so that an untrained head answers the labels' base rates. label_matrix: (N,C)."""
        rate = (label_matrix.sum(0) + 0.5) / (len(label_matrix) + 1.0)
        bias = np.log(rate) if exclusive else np.log(rate / (1 - rate))
        with torch.no_grad():
            self.output.bias.copy_(torch.as_tensor(bias, dtype=torch.float32))


class Classifier(nn.Module):
    """uint8 images (N,H,W,3) -> logits (N,C): the encoder and the head as one network.

    keep_statistics: the encoder stays in evaluation mode while it is trained, since a few images a batch would spoil
    the batch statistics of a large data set.
    """

    def __init__(self, encoder: ImageEncoder, head: Head, *, keep_statistics: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.keep_statistics = keep_statistics

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.keep_statistics:
            self.encoder.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder(images))
        return logits
