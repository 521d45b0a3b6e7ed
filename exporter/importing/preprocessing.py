"""How the pixels of a foreign model are prepared: presets, or a JSON file with the same fields.

Two parts. What the bundle's own preprocessing does before the graph: size and crop. What goes into the graph: channel
order, scale, mean and deviation. Never guesses: a field that is not known is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from bundle.manifest import Finite, Frozen, PreprocessSpec
from bundle.reasons import first_complaint
from exporter.errors import ExportError

Edge = Annotated[int, Field(ge=8, le=4096)]
Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Preprocessing(Frozen):
    """value = (pixel * scale - mean) / std, for pixels of 0 to 255; mean and std in the order of `channels`.

    height, width: of the model's input; None where the graph itself says.  layout: None likewise.
    """

    height: Edge | None = None
    width: Edge | None = None
    resize: Literal["squash", "center_crop"] = "squash"
    crop_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    channels: Literal["rgb", "bgr"] = "rgb"
    scale: Deviation = 1.0
    mean: tuple[Finite, Finite, Finite] = (0.0, 0.0, 0.0)
    std: tuple[Deviation, Deviation, Deviation] = (1.0, 1.0, 1.0)
    layout: Literal["nchw", "nhwc"] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.height is None) != (self.width is None):
            raise ValueError("height, width: expected both or neither")
        if self.resize == "squash" and self.crop_fraction != 1.0:
            raise ValueError("crop_fraction: expected 1 with resize 'squash', which crops nothing")
        return self

    @property
    def leaves_values(self) -> bool:
        """Whether the model takes the pixels' values as they are."""
        return self.scale == 1 and not any(self.mean) and set(self.std) == {1.0}

    def factors(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(factor, shift), (3,) each, in the order of `channels`: value = pixel * factor + shift."""
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        return self.scale / std, -mean / std

    def values(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB (N,H,W,3) -> float32 (N,H,W,3) that the original model takes: the proof's reference."""
        pixels = images if self.channels == "rgb" else images[..., ::-1]
        scaled = pixels.astype(np.float64) * self.scale
        result: NDArray[np.float32] = ((scaled - np.asarray(self.mean)) / np.asarray(self.std)).astype(np.float32)
        return result

    def values_in_graph(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The same to the last bit as the wrapped graph's nodes compute them, in 32 bits."""
        pixels = images if self.channels == "rgb" else images[..., ::-1]
        factor, shift = (each.astype(np.float32) for each in self.factors())
        return pixels.astype(np.float32) if self.leaves_values else pixels.astype(np.float32) * factor + shift

    def spec(self, height: int, width: int) -> PreprocessSpec:
        """The bundle's part of it."""
        return PreprocessSpec(height=height, width=width, resize=self.resize, crop_fraction=self.crop_fraction)


_UNIT: Final = 1 / 255
PRESETS: Final = {
    "imagenet": Preprocessing(
        height=224, width=224, resize="center_crop", crop_fraction=0.875, scale=_UNIT,
        mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225),
    ),
    "imagenet-squash": Preprocessing(
        height=224, width=224, scale=_UNIT, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
    "inception": Preprocessing(
        height=224, width=224, resize="center_crop", crop_fraction=0.875, scale=_UNIT,
        mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
    ),
    "clip": Preprocessing(
        height=224, width=224, resize="center_crop", scale=_UNIT,
        mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711),
    ),
    "raw-0-255": Preprocessing(height=224, width=224),
    "unit": Preprocessing(height=224, width=224, scale=_UNIT),
    "bgr-caffe": Preprocessing(
        height=224, width=224, resize="center_crop", crop_fraction=0.875, channels="bgr",
        mean=(103.939, 116.779, 123.68),
    ),
}  # fmt: skip


def read_preprocessing(text: str) -> Preprocessing:
    """A preset's name, or the path of a JSON file. Raises ExportError."""
    if text in PRESETS:
        return PRESETS[text]
    path = Path(text)
    names = ", ".join(PRESETS)
    if path.suffix.lower() != ".json" and not path.is_file():
        raise ExportError(f"--preprocessing: expected one of {names}, or a JSON file; found {text!r}. Choose one.")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: expected a JSON file with preprocessing fields, found {error}.") from error
    return _from_document(path, document)


def _from_document(path: Path, document: Any) -> Preprocessing:
    fields = ", ".join(("preset", "size", *Preprocessing.model_fields))
    if not isinstance(document, dict):
        raise ExportError(f"{path}: expected a JSON object with any of {fields}; found a {type(document).__name__}.")
    given = dict(document)
    if "preset" in given:
        name = given.pop("preset")
        if name not in PRESETS:
            raise ExportError(f"{path}: preset: expected one of {', '.join(PRESETS)}, found {name!r}.")
        given = {**PRESETS[name].model_dump(), **given}
    if "size" in given:
        if "height" in document or "width" in document:
            raise ExportError(f"{path}: size: expected either size, or height and width; found both. Leave one out.")
        given["height"] = given["width"] = given.pop("size")
    try:
        return Preprocessing.model_validate(given)
    except ValidationError as error:
        complaint = first_complaint(error)
        raise ExportError(f"{path}: {complaint}. The fields are {fields}; see docs/import.md.") from error
