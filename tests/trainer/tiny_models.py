"""Real `transformers` folders of tiny random networks, as a user would have them: config, safetensors, processor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn


def save_folder(model: Any, folder: Path, side: int) -> Path:
    """Save a `transformers` model with weights and batch statistics through which the last layer sees the image."""
    torch.manual_seed(7)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if norms:
        for norm in norms:
            nn.init.ones_(norm.weight)
            norm.momentum = 1.0  # the statistics of this one batch
        with torch.no_grad():
            model.train()(pixel_values=torch.randn(16, 3, side, side))
    model.save_pretrained(folder, safe_serialization=True)
    processor = {"size": {"height": side, "width": side}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def write_tiny_resnet(folder: Path) -> Path:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=2)
    return save_folder(ResNetForImageClassification(config), folder, 32)
