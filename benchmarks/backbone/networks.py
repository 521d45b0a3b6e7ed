"""The teacher, the candidates for the student, and what ties them together while one learns from the other."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

os.environ["HF_HUB_OFFLINE"] = "1"

MEAN = STD = 0.5  # of both: pixels in [-1, 1]
STRIDES = (8, 16, 32)  # of the hidden states that the student learns from


def _mobilenet(multiplier: float) -> Any:
    from transformers import MobileNetV2Config

    return MobileNetV2Config(depth_multiplier=multiplier, tf_padding=False, layer_norm_eps=1e-5, num_labels=2)


def _regnet() -> Any:
    from transformers import RegNetConfig

    return RegNetConfig(
        embedding_size=32, hidden_sizes=[32, 64, 160, 400], depths=[1, 2, 7, 12], groups_width=16, layer_type="x",
        num_labels=2,
    )  # fmt: skip


def _resnet(sizes: tuple[int, ...], depths: tuple[int, ...]) -> Any:
    from transformers import ResNetConfig

    return ResNetConfig(
        embedding_size=sizes[0], hidden_sizes=list(sizes), depths=list(depths), layer_type="basic", num_labels=2
    )


# name -> configuration, and the edge of its input in pixels
CANDIDATES: dict[str, tuple[Callable[[], Any], int]] = {
    "mobilenet": (lambda: _mobilenet(1.0), 160),
    "regnet": (_regnet, 160),
    "resnet": (lambda: _resnet((32, 64, 128, 256), (2, 2, 2, 2)), 160),
}


class Teacher(nn.Module):
    """A frozen MobileNetV2 classifier: pixels in [0, 1] -> maps at STRIDES and behind the last convolution, logits."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        from transformers import AutoModelForImageClassification

        self.model = AutoModelForImageClassification.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
        self.requires_grad_(False).eval()

    def forward(self, pixels: Tensor) -> tuple[list[Tensor], Tensor]:
        inner = self.model.base_model(pixel_values=(pixels - MEAN) / STD, output_hidden_states=True, return_dict=True)
        maps = [*_last_of_each_stride(inner.hidden_states, pixels.shape[-1]), inner.last_hidden_state]
        return maps, self.model.classifier(inner.last_hidden_state.mean((2, 3)))


class Student(nn.Module):
    """A network to be trained, and one linear map from each of its layers to the teacher's layer at that depth.

    The maps are thrown away afterwards: features are as good as what can be read off them linearly.
    """

    def __init__(self, config: Any, teacher_channels: list[int], teacher_labels: int, labels: int) -> None:
        super().__init__()
        from transformers import AutoModel

        self.network = AutoModel.from_config(config)
        self.network.eval()
        with torch.no_grad():
            maps, pooled = self._run(torch.zeros(1, 3, 64, 64))
        self.network.train()
        self.readers = nn.ModuleList(
            nn.Conv2d(found.shape[1], wanted, 1) for found, wanted in zip(maps, teacher_channels, strict=True)
        )
        self.teacher_classifier = nn.Linear(pooled.shape[1], teacher_labels)
        self.classifier = nn.Linear(pooled.shape[1], labels)

    def forward(self, pixels: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Maps as the teacher's, the teacher's logits, logits of the labels."""
        maps, pooled = self._run(pixels)
        read = [reader(found) for reader, found in zip(self.readers, maps, strict=True)]
        return read, self.teacher_classifier(pooled), self.classifier(pooled)

    def _run(self, pixels: Tensor) -> tuple[list[Tensor], Tensor]:
        outputs = self.network(pixel_values=(pixels - MEAN) / STD, output_hidden_states=True, return_dict=True)
        maps = [*_last_of_each_stride(outputs.hidden_states, pixels.shape[-1]), outputs.last_hidden_state]
        return maps, outputs.last_hidden_state.mean((2, 3))


def _last_of_each_stride(states: tuple[Tensor, ...], edge: int) -> list[Tensor]:
    return [[state for state in states if state.shape[-1] == -(-edge // stride)][-1] for stride in STRIDES]


def multiply_adds(network: nn.Module, edge: int) -> int:
    """Of convolutions and linear layers, for one image of edge x edge pixels."""
    counted = 0

    def count(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        nonlocal counted
        weight: Tensor = module.weight  # type: ignore[assignment]
        counted += output.numel() * weight[0].numel()

    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    was_training = network.training
    network.eval()
    with torch.no_grad():
        network(pixel_values=torch.zeros(1, 3, edge, edge))
    network.train(was_training)
    for handle in handles:
        handle.remove()
    return counted
