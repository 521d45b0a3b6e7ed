"""A local `transformers` image-classification folder, read and exported: the second source of `onsight import`.

Never touches the network, never runs code that lies in the folder, never reads pickled weights. Preprocessing that the
bundle's own cannot do exactly is refused, not approached; another resampling filter is told.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bundle.manifest import Task
from bundle.reasons import first_line
from exporter.errors import ExportError
from exporter.graph import ServedClassifier, build_onnx
from exporter.importing.labels import labels_by_number
from exporter.importing.original import Original, task_of_one_output
from exporter.importing.preprocessing import Preprocessing
from exporter.parity import LOGIT_TOLERANCE, TOLERANCE
from trainer.backbone import LOADING_ERRORS, load_pretrained, read_backbone_spec

_FILTERS: Final = {0: "nearest", 1: "Lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "Hamming"}
_BILINEAR: Final = 2
_WARP_FROM: Final = 384  # ConvNeXT's processor crops below this edge and warps from it on


class _Logits(nn.Module):
    """uint8 (N,H,W,3) -> logits (N,C) of a `transformers` classifier."""

    factor: Tensor
    shift: Tensor

    def __init__(self, model: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model = model
        self.flip = preprocessing.channels == "bgr"
        factor, shift = preprocessing.factors()
        for name, values in (("factor", factor), ("shift", shift)):
            self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.to(torch.float32).permute(0, 3, 1, 2)  # (N,H,W,3) -> (N,3,H,W)
        if self.flip:
            pixels = pixels.flip(1)
        logits: Tensor = self.model(pixel_values=pixels * self.factor + self.shift, return_dict=True).logits
        return logits


def open_transformers(folder: Path, preprocessing: Preprocessing | None, *, task: Task | None = None) -> Original:
    """Read, check and export. preprocessing: in place of the folder's own.

    Raises BackboneError for an incomplete folder, ExportError for what cannot be served.
    """
    spec = read_backbone_spec(folder)
    notes: list[str] = []
    model = _load(folder)
    config: Any = model.config
    if preprocessing is None:
        preprocessing = _from_processor(folder, notes)
    height, width = preprocessing.height or spec.height, preprocessing.width or spec.width
    chosen = _task(folder, config, task, notes)
    served = ServedClassifier(_Logits(model, preprocessing), chosen, 1.0)
    labels = labels_by_number(f"{folder}/config.json: id2label", config.id2label) if config.id2label else None
    if labels and all(label == f"LABEL_{place}" for place, label in enumerate(labels)):
        notes.append("config.json names its labels LABEL_0, LABEL_1, ...: give --labels for real names")

    def answer(values: NDArray[np.float32]) -> tuple[NDArray[np.float32] | None, NDArray[np.float32]]:
        with torch.inference_mode():
            parts = [
                model(pixel_values=torch.from_numpy(values[i : i + 16].transpose(0, 3, 1, 2).copy())).logits.numpy()
                for i in range(0, len(values), 16)
            ]
        return None, np.concatenate(parts)

    def build() -> bytes:
        try:
            return build_onnx(served, height, width)
        except Exception as error:  # torch's exporter raises whatever it meets
            raise ExportError(
                f"{folder}: torch cannot export this {config.model_type} model: {first_line(error)}"
            ) from error

    with torch.inference_mode():
        outputs = served(torch.zeros(1, height, width, 3, dtype=torch.uint8))[1].shape[1]
    return Original(
        kind="transformers",
        name=str(config.model_type),
        sha256=spec.sha256,
        answer=answer,
        build=build,
        preprocessing=preprocessing,
        height=height,
        width=width,
        outputs=int(outputs),
        task=chosen,
        labels=labels,
        output="logits",
        output_found="a transformers classifier gives logits",
        tolerance=TOLERANCE,
        logit_tolerance=LOGIT_TOLERANCE,
        notes=notes,
    )


def _load(folder: Path) -> Any:
    try:
        model, loading = load_pretrained("AutoModelForImageClassification", folder)
    except LOADING_ERRORS as error:
        raise ExportError(
            f"{folder}: expected an image classifier that transformers builds from these files; it says:"
            f" {first_line(error)}"
        ) from error
    missing = sorted(loading["missing_keys"])
    if missing:
        raise ExportError(
            f"{folder}: expected weights for the whole classifier, found none for {len(missing)} of its tensors, such"
            f" as {missing[0]}. A backbone without its head is for `onsight train --backbone`."
        )
    return model.float().eval()


def _task(folder: Path, config: Any, asked: Task | None, notes: list[str]) -> Task:
    problem = getattr(config, "problem_type", None)
    if problem == "regression":
        raise ExportError(f"{folder}: expected a classifier, config.json says problem_type regression.")
    says = {
        "single_label_classification": Task.SINGLE_LABEL,
        "multi_label_classification": Task.MULTI_LABEL,
    }.get(str(problem))
    if config.num_labels == 1:
        return task_of_one_output(folder, says, f"problem_type {problem}", asked, notes)
    if says is not None and asked is not None and says is not asked:
        raise ExportError(
            f"{folder}: expected a {asked.value} model as --task says, config.json says {problem}. Leave --task out."
        )
    return asked or says or Task.SINGLE_LABEL


def _from_processor(folder: Path, notes: list[str]) -> Preprocessing:
    """What preprocessor_config.json says, defaults of its kind included, as our own fields."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        raise ExportError(
            f"{folder}: expected preprocessor_config.json, found none. Give --preprocessing a preset or a JSON file."
        )
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        ).to_dict()  # type: ignore[no-untyped-call]
    except (OSError, ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
        raise ExportError(
            f"{path}: expected an image processor that transformers knows; it says: {first_line(error)} Give"
            " --preprocessing."
        ) from error
    fields = {**_geometry(path, processor), **_values(processor)}
    filter_used = processor.get("resample", _BILINEAR)
    if filter_used not in (None, _BILINEAR):
        notes.append(
            f"the original resizes with a {_FILTERS.get(int(filter_used), filter_used)} filter, Onsight with a bilinear"
            " one: scores will differ a little; --test measures how good they are"
        )
    return Preprocessing.model_validate(fields)


def _geometry(path: Path, processor: dict[str, Any]) -> dict[str, Any]:
    size, crop = processor.get("size") or {}, processor.get("crop_size") or {}
    if not isinstance(size, dict) or not processor.get("do_resize", True):
        raise _unsayable(path, "images are not resized")
    if processor.get("do_pad"):
        raise _unsayable(path, "images are padded")
    does_crop = bool(processor.get("do_center_crop"))
    edge = size.get("shortest_edge")
    if "crop_pct" in processor and processor.get("crop_pct") and edge:  # ConvNeXT: crops by a rule of its own
        edge = int(edge)
        if edge >= _WARP_FROM:
            return {"height": edge, "width": edge}
        between = int(edge / float(processor["crop_pct"]))
        return {"height": edge, "width": edge, "resize": "center_crop", "crop_fraction": edge / between}
    if edge and not size.get("longest_edge"):
        if not does_crop or not crop:
            raise _unsayable(path, "images keep their aspect ratio and are not cropped")
        height, width = int(crop["height"]), int(crop["width"])
        if height != width or height > edge:
            raise _unsayable(path, f"a shortest edge of {edge} is cropped to {height}x{width}")
        return {"height": height, "width": width, "resize": "center_crop", "crop_fraction": height / int(edge)}
    if size.get("height") and size.get("width"):
        height, width = int(size["height"]), int(size["width"])
        if does_crop and crop and (int(crop["height"]), int(crop["width"])) != (height, width):
            raise _unsayable(path, f"a squashed image of {height}x{width} is cropped")
        return {"height": height, "width": width}
    raise _unsayable(path, f"a size of {size}")


def _values(processor: dict[str, Any]) -> dict[str, Any]:
    """scale, mean and std; what EfficientNet's processor does beyond them is folded in."""
    scale = float(processor.get("rescale_factor") or 1 / 255) if processor.get("do_rescale", True) else 1.0
    normalised = processor.get("do_normalize", True)
    mean, std = (np.ones(3) * np.asarray(processor.get(name) or default, np.float64) for name, default in (
        ("image_mean", 0.0), ("image_std", 1.0)
    ))  # fmt: skip
    kept_mean, kept_std = (mean, std) if normalised else (np.zeros(3), np.ones(3))
    if processor.get("rescale_offset") and processor.get("do_rescale", True):
        kept_mean = kept_mean + 1
    if processor.get("include_top"):
        kept_std = kept_std * std
    flipped = bool(processor.get("do_flip_channel_order"))
    return {
        "scale": scale,
        "mean": tuple(kept_mean.tolist()),
        "std": tuple(kept_std.tolist()),
        "channels": "bgr" if flipped else "rgb",
    }


def _unsayable(path: Path, what: str) -> ExportError:
    return ExportError(
        f"{path}: expected preprocessing that a bundle can do exactly (squash, or a centred square crop), found:"
        f" {what}. Give --preprocessing what comes closest, and --test images to see what that costs."
    )
