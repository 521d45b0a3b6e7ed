"""Random changes to training images that keep their label: shift, zoom, turn, brightness and contrast, mirror.

Each draw comes from the generator that is passed in, so that the same seed gives the same images.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainer.recipe import Augmentation

MAX_SHIFT = 0.1  # of the side
MAX_ZOOM = 0.15
MAX_TURN = math.radians(10)
MAX_BRIGHTNESS = 0.2  # of the range
MAX_CONTRAST = 0.2


def augment(images: Tensor, kind: Augmentation, generator: torch.Generator) -> Tensor:
    """images: (N,H,W,3) uint8. Returns (N,H,W,3) float32 in [0, 255]; edges are repeated, never black."""
    pixels = images.to(torch.float32)
    if kind == "none":
        return pixels
    count = len(images)

    def draw(limit: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * limit

    zoom, turn = 1 + draw(MAX_ZOOM), draw(MAX_TURN)
    cos, sin = torch.cos(turn) * zoom, torch.sin(turn) * zoom
    mirror = torch.ones(count)
    if kind == "flip":
        mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    shift_x, shift_y = draw(2 * MAX_SHIFT), draw(2 * MAX_SHIFT)
    rows = torch.stack([cos * mirror, -sin, shift_x, sin * mirror, cos, shift_y], dim=1)
    grid = torch.nn.functional.affine_grid(rows.view(count, 2, 3), [count, 3, *images.shape[1:3]], align_corners=False)
    pixels = torch.nn.functional.grid_sample(
        pixels.permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=False
    )  # (N,H,W,3) -> (N,3,H,W)
    contrast = (1 + draw(MAX_CONTRAST)).view(-1, 1, 1, 1)
    brightness = (255 * draw(MAX_BRIGHTNESS)).view(-1, 1, 1, 1)
    pixels = ((pixels - 127.5) * contrast + 127.5 + brightness).clamp(0, 255)
    return pixels.permute(0, 2, 3, 1)  # -> (N,H,W,3)
