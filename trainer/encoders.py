"""Encoders for the feature pass: the backbone through ONNX Runtime, or plain pixels where the whole network is
trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bundle.manifest import PreprocessSpec
from trainer.backbone import BackboneSpec
from trainer.feature_cache import FeatureCache, cache_key
from trainer.features import Encode

TAPS = "pooled+0.6+0.8+1.0/v1"  # names what TransformersBackbone puts into a feature row


@dataclass(frozen=True)
class Encoder:
    """What turns images (n,H,W,3) uint8 into rows, and where its rows are cached."""

    encode: Encode
    cache: FeatureCache


def backbone_encoder(backbone: BackboneSpec, spec: PreprocessSpec, cache_dir: Path) -> Encoder:
    """Features (n,D) float32 of the frozen backbone, one thread a session call; the graph is built once and kept."""
    name = f"{backbone.sha256[:32]}-{cache_key(repr(backbone.mean), repr(backbone.std), TAPS)[:8]}"
    path = cache_dir / "encoders" / f"{name}-{spec.height}x{spec.width}.onnx"
    if not path.is_file():
        _build_graph(backbone, path)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def encode(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        features: NDArray[np.float32] = session.run(["features"], {"images": images})[0]
        return features

    key = cache_key(backbone.sha256, repr((backbone.mean, backbone.std)), TAPS, spec.model_dump_json())
    return Encoder(encode, FeatureCache(cache_dir / "features" / key))


def pixel_encoder(spec: PreprocessSpec, cache_dir: Path) -> Encoder:
    """The preprocessed images themselves, (n,H,W,3) uint8."""
    return Encoder(lambda images: images, FeatureCache(cache_dir / "pixels" / cache_key(spec.model_dump_json())))


def _build_graph(backbone: BackboneSpec, path: Path) -> None:
    import torch

    from trainer.backbone import load_encoder
    from trainer.onnx_graph import export_onnx

    example = torch.zeros(2, backbone.height, backbone.width, 3, dtype=torch.uint8)
    graph = export_onnx(load_encoder(backbone), example, input_name="images", output_names=["features"])
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(graph)
    temporary.replace(path)
