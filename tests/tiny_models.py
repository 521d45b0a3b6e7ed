"""Real `transformers` folders of tiny random networks, as a user would have them: config, safetensors, processor."""

from __future__ import annotations

import json
from collections.abc import Callable
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


def families() -> dict[str, tuple[Callable[[], Any], int]]:
    """Tiny classifiers of the families that users have, each with the side of its images."""
    import transformers as t

    small = {"num_labels": 3}
    tokens = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
        "image_size": 32, "patch_size": 8,
    }  # fmt: skip
    convolutions = {"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1]}
    return {
        "resnet": (
            lambda: t.ResNetForImageClassification(
                t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", **small)
            ),
            32,
        ),
        "mobilenet_v2": (
            lambda: t.MobileNetV2ForImageClassification(
                t.MobileNetV2Config(depth_multiplier=0.5, image_size=64, **small)
            ),
            64,
        ),
        "vit": (lambda: t.ViTForImageClassification(t.ViTConfig(**tokens, **small)), 32),
        "deit": (lambda: t.DeiTForImageClassification(t.DeiTConfig(**tokens, **small)), 32),
        "convnextv2": (lambda: t.ConvNextV2ForImageClassification(t.ConvNextV2Config(**convolutions, **small)), 64),
        "efficientnet": (
            lambda: t.EfficientNetForImageClassification(
                t.EfficientNetConfig(width_coefficient=0.25, depth_coefficient=0.25, hidden_dim=320, **small)
            ),
            64,
        ),
        "dinov2": (
            lambda: t.Dinov2ForImageClassification(
                t.Dinov2Config(**{**tokens, "intermediate_size": 64}, mlp_ratio=2, **small)
            ),
            32,
        ),
        "swin": (
            lambda: t.SwinForImageClassification(
                t.SwinConfig(image_size=32, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4)
            ),
            32,
        ),
        "siglip": (lambda: t.SiglipVisionModel(t.SiglipVisionConfig(**tokens)), 32),
    }
