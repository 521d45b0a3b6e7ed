"""Random views of small images, a whole batch at a time on the device that holds them.

A view is cut from a mosaic of 1, 4 or 9 images, then recoloured, sometimes blurred, sometimes mixed with another view.
Why mosaics: one 64x64 image that is enlarged to 224x224 is all blur; nine of them side by side are as sharp as a photo
is, so that the network learns fine texture too. Teacher and student see the same view: the student learns what the
teacher answers to it, so a view needs no label and may show anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

EDGE = 224  # pixels of a view, the teacher's input
TILES = (1, 2, 3)  # a side of the mosaic
TILE_SHARES = (0.4, 0.3, 0.3)
PLAIN, MIXUP, CUTMIX = "plain", "mixup", "cutmix"
MIXES, MIX_SHARES = (PLAIN, MIXUP, CUTMIX), (0.6, 0.2, 0.2)
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Views:
    """pixels: (B,3,224,224) float32 in [0, 1].  labels: (B,) of the one image that a view shows, None where it shows
    several.
    """

    pixels: Tensor
    labels: Tensor | None


class ViewMaker:
    """Draws batches of views; the same seed and step give the same views on the same device."""

    def __init__(self, pixels: Tensor, labels: Tensor, seed: int) -> None:
        """pixels: (N,3,h,w) uint8 and labels: (N,), both on the device where views are made."""
        self.pixels = pixels
        self.labels = labels
        self.seed = seed

    def draw(self, step: int, batch: int) -> Views:
        host = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        device = torch.Generator(self.pixels.device).manual_seed(self.seed * 1_000_003 + step)
        tiles = TILES[_choose(TILE_SHARES, host)]
        mix = MIXES[_choose(MIX_SHARES, host)]
        bicubic = torch.rand((), generator=host).item() < 0.5
        blur_edge = int(torch.randint(40, 144, (), generator=host))
        places = torch.randint(len(self.pixels), (batch, tiles, tiles), generator=device, device=self.pixels.device)
        canvas = mosaic(self.pixels, places)
        pixels = crop(canvas, device, least_area=0.25 if tiles == 1 else 0.15, bicubic=bicubic)
        pixels = recolour(pixels, device)
        blurred = batch // 5  # images come in random order: the first ones are as good as any
        pixels[:blurred] = resize(resize(pixels[:blurred], blur_edge), EDGE)
        pixels[batch - batch // 8 :] += (
            0.06
            * torch.randn(pixels[batch - batch // 8 :].shape, generator=device, device=pixels.device)
            * torch.rand(batch // 8, 1, 1, 1, generator=device, device=pixels.device)
        )
        if mix != PLAIN:
            pixels = mixed(pixels, mix, device)
        single = tiles == 1 and mix == PLAIN
        return Views(pixels.clamp(0, 1), self.labels[places[:, 0, 0]] if single else None)


def mosaic(pixels: Tensor, places: Tensor) -> Tensor:
    """pixels (N,3,h,w) uint8, places (B,t,t) -> (B,3,t*h,t*w) float32 in [0, 1]."""
    batch, tiles, _ = places.shape
    height, width = pixels.shape[2:]
    found = pixels[places].permute(0, 3, 1, 4, 2, 5)  # (B,t,t,3,h,w) -> (B,3,t,h,t,w)
    return found.reshape(batch, 3, tiles * height, tiles * width).float().div_(255)


def crop(canvas: Tensor, generator: torch.Generator, *, least_area: float, bicubic: bool) -> Tensor:
    """A random part of each image: its area, aspect, place, mirroring and turn. (B,3,h,w) -> (B,3,224,224)."""
    draw = _drawer(len(canvas), generator, canvas.device)
    area, stretch = draw(least_area, 1), torch.exp(draw(-0.29, 0.29))  # 0.29: log of 4/3
    width, height = (area.sqrt() * stretch).clamp(max=1), (area.sqrt() / stretch).clamp(max=1)
    x, y = draw(-1, 1) * (1 - width), draw(-1, 1) * (1 - height)
    turn = draw(-1, 1) * math.radians(20) * (draw(0, 1) < 0.3)
    mirror = torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(turn), torch.sin(turn)
    rows = torch.stack([cos * width * mirror, -sin * height, x, sin * width * mirror, cos * height, y], dim=1)
    grid = torch.nn.functional.affine_grid(rows.view(-1, 2, 3), [len(canvas), 3, EDGE, EDGE], align_corners=False)
    mode = "bicubic" if bicubic else "bilinear"
    return torch.nn.functional.grid_sample(canvas, grid, mode, padding_mode="reflection", align_corners=False)


def recolour(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness, contrast, saturation, hue, white balance, sometimes grey or negative: one 3x3 matrix an image."""
    count = len(pixels)
    draw = _drawer(count, generator, pixels.device)
    grey = torch.tensor(LUMA, device=pixels.device).expand(3, 3)
    identity = torch.eye(3, device=pixels.device)
    saturation = torch.where(draw(0, 1) < 0.1, torch.zeros(count, device=pixels.device), draw(0.4, 1.6))
    colour = grey + saturation.view(-1, 1, 1) * (identity - grey)  # (B,3,3)
    angle = draw(-1, 1) * math.pi * 0.15
    axis = 1 / 3 + torch.zeros(3, 3, device=pixels.device)  # of grey: the rotation leaves it alone
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=pixels.device) / math.sqrt(3)
    cos, sin = torch.cos(angle).view(-1, 1, 1), torch.sin(angle).view(-1, 1, 1)
    hue = cos * identity + sin * cross + (1 - cos) * axis
    contrast = draw(0.6, 1.4) * torch.where(draw(0, 1) < 0.03, -1.0, 1.0)
    balance = 1 + 0.15 * (torch.rand(count, 3, generator=generator, device=pixels.device) * 2 - 1)
    matrix = contrast.view(-1, 1, 1) * balance.unsqueeze(2) * (hue @ colour)
    bias = 0.5 + draw(-0.25, 0.25).view(-1, 1, 1) - 0.5 * matrix.sum(2, keepdim=True)
    plain = (draw(0, 1) < 0.2).view(-1, 1, 1)
    matrix, bias = torch.where(plain, identity, matrix), torch.where(plain, torch.zeros_like(bias), bias)
    return torch.baddbmm(bias, matrix, pixels.flatten(2)).view_as(pixels).clamp_(0, 1)


def mixed(pixels: Tensor, kind: str, generator: torch.Generator) -> Tensor:
    """Each view and its opposite in the batch: blended (mixup), or a rectangle of one in the other (cutmix)."""
    count, _, height, width = pixels.shape
    draw = _drawer(count, generator, pixels.device)
    other = pixels.flip(0)
    if kind == MIXUP:
        return torch.lerp(pixels, other, draw(0, 0.5).view(-1, 1, 1, 1))
    part = draw(0.05, 0.5).sqrt()
    x, y = draw(0, 1).view(-1, 1, 1, 1), draw(0, 1).view(-1, 1, 1, 1)
    half = part.view(-1, 1, 1, 1) / 2
    columns = torch.linspace(0, 1, width, device=pixels.device).view(1, 1, 1, -1)
    rows = torch.linspace(0, 1, height, device=pixels.device).view(1, 1, -1, 1)
    return torch.where(((columns - x).abs() < half) & ((rows - y).abs() < half), other, pixels)


def resize(pixels: Tensor, edge: int) -> Tensor:
    return torch.nn.functional.interpolate(
        pixels, (edge, edge), mode="bilinear", align_corners=False, antialias=edge < pixels.shape[-1]
    )


def _choose(shares: tuple[float, ...], generator: torch.Generator) -> int:
    return int(torch.multinomial(torch.tensor(shares), 1, generator=generator))


def _drawer(count: int, generator: torch.Generator, device: torch.device):  # type: ignore[no-untyped-def]
    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, device=device)

    return draw
