"""Backbones: a local `transformers` folder, or a small network of our own with random weights: image -> features.

A backbone is read from files on this machine only. Its features are the pooled output beside mean and maximum of hidden
states at several depths: early layers keep texture and detail that the last layer has traded for ImageNet's classes,
and a head on both transfers better to other data (Evci et al. 2022, "Head2Toe").
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from bundle.reasons import first_line
from trainer.errors import BackboneError

TAP_DEPTHS = (
    0.6,
    0.8,
    1.0,
)  # of the hidden states; measured on TrashNet: 0.847 with the pooled output alone, 0.88 with these
DEFAULT_EDGE = 224
SCRATCH_NAME = "scratch-cnn"
BUILT_IN = Path(__file__).parent / "backbones"  # folders that come with the package; never written to
DEFAULT_NAME = "onsight-small"
LOADING_ERRORS = (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, SafetensorError)


@dataclass(frozen=True)
class BackboneSpec:
    """Which backbone a run uses, so that the exporter can build it again and prove that it is the same.

    sha256: over config.json and every weight file (or, from scratch, over the architecture's name).
    mean, std: (3,) normalisation of RGB in [0, 1].
    """

    name: str
    sha256: str
    folder: str | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    height: int
    width: int

    @property
    def from_scratch(self) -> bool:
        return self.folder is None


def read_backbone_spec(folder: Path, height: int | None = None, width: int | None = None) -> BackboneSpec:
    """Look at a local `transformers` image-classification folder without loading its weights.

    Raises BackboneError where the folder is missing, incomplete, or not of safetensors.
    """
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise BackboneError(
            f"{folder}: expected a local transformers folder with config.json and *.safetensors, found"
            f" {'no config.json' if folder.is_dir() else 'no such folder'}. Give the folder that holds them."
        )
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise BackboneError(
            f"{folder}: expected *.safetensors beside config.json, found none. Pickled weights (.bin, .pt) are"
            " not read, since loading them runs code; convert them with safetensors first."
        )
    try:
        processor_path = folder / "preprocessor_config.json"
        config = _read_json(config_path)
        processor = _read_json(processor_path) if processor_path.is_file() else {}
    except ValueError as error:
        raise BackboneError(f"{folder}: expected JSON in config.json and preprocessor_config.json: {error}") from error
    edge_h, edge_w = _input_size(config, processor)
    normalised = processor.get("do_normalize", True)
    return BackboneSpec(
        name=str(config.get("model_type", folder.name)),
        sha256=_digest([config_path, *weights]),
        folder=str(folder.resolve()),
        mean=_three(processor.get("image_mean"), (0.485, 0.456, 0.406)) if normalised else (0.0, 0.0, 0.0),
        std=_three(processor.get("image_std"), (0.229, 0.224, 0.225)) if normalised else (1.0, 1.0, 1.0),
        height=height or edge_h,
        width=width or edge_w,
    )


def scratch_spec(height: int, width: int) -> BackboneSpec:
    """The small network of our own, for images where no backbone is at hand."""
    half = (0.5, 0.5, 0.5)
    return BackboneSpec(
        SCRATCH_NAME, hashlib.sha256(b"onsight/scratch-cnn/v1").hexdigest(), None, half, half, height, width
    )


def check_backbone(spec: BackboneSpec) -> BackboneSpec:
    """The backbone of a run as it lies here: a run that comes from another install names that one's built-in folder.

    Raises BackboneError unless the folder holds exactly the files that the run was trained with.
    """
    if spec.folder is None:
        return spec
    folder = Path(spec.folder)
    built_in = BUILT_IN / folder.name
    if not folder.is_dir() and built_in.is_dir() and read_backbone_spec(built_in).sha256 == spec.sha256:
        return replace(spec, folder=str(built_in))
    found = read_backbone_spec(folder)
    if found.sha256 != spec.sha256:
        raise BackboneError(
            f"{spec.folder}: expected the backbone of this run ({spec.sha256[:12]}), found {found.sha256[:12]}."
            " Put the original files back, or train again."
        )
    return spec


class ScratchCnn(nn.Module):
    """Seven 3x3 convolutions with batch normalisation; halves the image three times, then pools. ~0.7 M parameters."""

    feature_count = 512

    def __init__(self) -> None:
        super().__init__()
        widths = ((3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256))
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(widths):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            if index in (1, 3, 5):
                layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.layers(pixels)  # (N,3,H,W) -> (N,256,H/8,W/8)
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)  # -> (N,512)


class TransformersBackbone(nn.Module):
    """A `transformers` vision model as pixels (N,3,H,W) -> features (N,D): pooled output and hidden states'
    statistics.

    has_pooler: False where the model's own pooling layer has no weights, as in the folder of a ViT classifier.
    """

    def __init__(self, model: Any, *, has_pooler: bool = True) -> None:
        super().__init__()
        self.model = model
        self.has_pooler = has_pooler

    def forward(self, pixels: Tensor) -> Tensor:
        outputs = self.model(pixel_values=pixels, output_hidden_states=True, return_dict=True)
        states = outputs.hidden_states
        last = len(states) - 1
        taps = sorted({round(depth * last) for depth in TAP_DEPTHS})
        parts: list[Tensor] = []
        pooled = getattr(outputs, "pooler_output", None) if self.has_pooler else None
        if pooled is None and outputs.last_hidden_state.dim() == 3:
            pooled = outputs.last_hidden_state[:, 0]  # the class token of a ViT without a pooler
        if pooled is not None:
            parts.append(pooled.flatten(1))
        for tap in taps:
            parts.extend(_pool(states[tap]))
        return torch.cat(parts, dim=1)  # (N,D)


def _pool(state: Tensor) -> list[Tensor]:
    if state.dim() == 4:
        return [state.mean((2, 3)), state.amax((2, 3))]  # (N,C,h,w) -> 2 x (N,C)
    return [state.mean(1)]  # tokens (N,T,C) -> (N,C)


class ImageEncoder(nn.Module):
    """uint8 (N,H,W,3) -> features (N,D) float32: normalisation, layout and backbone in one graph."""

    scale: Tensor
    shift: Tensor

    def __init__(self, spec: BackboneSpec, backbone: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = backbone
        std = torch.tensor(spec.std).view(1, 3, 1, 1)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -torch.tensor(spec.mean).view(1, 3, 1, 1) / std, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.to(torch.float32).permute(0, 3, 1, 2)  # (N,H,W,3) -> (N,3,H,W)
        features: Tensor = self.backbone(pixels * self.scale + self.shift)
        return features

    def feature_count(self) -> int:
        """D, found by running one black image."""
        black = torch.zeros(1, self.spec.height, self.spec.width, 3, dtype=torch.uint8)
        was_training = self.training
        self.eval()
        with torch.no_grad():
            count = int(self(black).shape[1])
        self.train(was_training)
        return count


def load_encoder(spec: BackboneSpec, *, seed: int = 0, random_weights: bool = False) -> ImageEncoder:
    """Build the encoder of a spec, with the folder's weights (or random ones, seeded), in evaluation mode.

    Never touches the network and never runs code that lies in the folder. Raises BackboneError where `transformers`
    cannot build the folder, or where its files lack some of the weights.
    """
    torch.manual_seed(seed)
    if spec.folder is None:
        return ImageEncoder(spec, ScratchCnn()).eval()
    try:
        model, loading = load_pretrained("AutoModel", spec.folder)
        has_pooler = _check_weights(loading)
        if random_weights:  # the same features all the same: these weights, once trained, are loaded over the folder's
            from transformers import AutoModel

            torch.manual_seed(seed)
            model = AutoModel.from_config(model.config, trust_remote_code=False)  # type: ignore[no-untyped-call]
        encoder = ImageEncoder(spec, TransformersBackbone(model.float(), has_pooler=has_pooler)).eval()
        encoder.feature_count()
    except LOADING_ERRORS as error:
        raise BackboneError(
            f"{spec.folder}: expected an image model that transformers builds from these files and that takes"
            f" {spec.height}x{spec.width} images; it says: {first_line(error)}{_other_size(spec)}"
        ) from error
    return encoder


def load_pretrained(
    kind: Literal["AutoModel", "AutoModelForImageClassification"], folder: str | Path
) -> tuple[Any, dict[str, Any]]:
    """A model of a local `transformers` folder, in 32-bit floats, and what was found or missed while it was loaded.

    Never touches the network, never runs code that lies in the folder, never reads pickled weights, prints nothing.
    Raises one of LOADING_ERRORS.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model, loading = getattr(transformers, kind).from_pretrained(
        str(folder), local_files_only=True, use_safetensors=True, dtype=torch.float32, trust_remote_code=False,
        output_loading_info=True,
    )  # fmt: skip
    return model, loading


def _other_size(spec: BackboneSpec) -> str:
    """What to try where the images have another size than the network was made for, which not every one takes."""
    assert spec.folder is not None
    try:
        made_for = _height_and_width(_read_json(Path(spec.folder) / "config.json").get("image_size"))
    except (OSError, ValueError):
        return ""
    if made_for is None or made_for == (spec.height, spec.width):
        return ""
    return f". It was made for {made_for[0]}x{made_for[1]}: try --size {made_for[0]}"


def _check_weights(loading: dict[str, Any]) -> bool:
    """Whether the pooling layer has weights. Raises ValueError where anything else has none: those are random then."""
    missing = sorted(loading["missing_keys"])
    wrong = [name for name in missing if not name.startswith("pooler.")]
    if wrong:
        raise ValueError(f"the files hold no weights for {len(wrong)} of its tensors, such as {wrong[0]}")
    return not missing


def _read_json(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError(f"{path.name} holds a {type(document).__name__}, not an object")
    return document


def _input_size(config: dict[str, Any], processor: dict[str, Any]) -> tuple[int, int]:
    candidates = (processor.get("crop_size"), processor.get("size"), config.get("image_size"))
    return next((size for size in map(_height_and_width, candidates) if size is not None), (DEFAULT_EDGE, DEFAULT_EDGE))


def _height_and_width(candidate: object) -> tuple[int, int] | None:
    """(height, width) in any of the ways that `transformers` writes a size."""
    if isinstance(candidate, dict) and "height" in candidate and "width" in candidate:
        return int(candidate["height"]), int(candidate["width"])
    if isinstance(candidate, dict) and "shortest_edge" in candidate:
        return int(candidate["shortest_edge"]), int(candidate["shortest_edge"])
    if isinstance(candidate, int):
        return candidate, candidate
    if isinstance(candidate, list) and len(candidate) == 2:
        return int(candidate[0]), int(candidate[1])
    return None


def _three(value: object, default: tuple[float, float, float]) -> tuple[float, float, float]:
    if isinstance(value, list) and len(value) == 3:
        a, b, c = (float(v) for v in np.asarray(value, np.float64))
        return a, b, c
    return default


def _digest(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + str(path.stat().st_size).encode() + b"\0")
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
