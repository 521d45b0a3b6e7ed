"""Encoders for the feature pass: the backbone through ONNX Runtime, or plain pixels where the whole network is
trained.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bundle.files import write_atomically
from bundle.manifest import PreprocessSpec
from trainer.backbone import TAP_DEPTHS, BackboneSpec
from trainer.feature_cache import DIGEST_BYTES, FeatureCache, cache_key
from trainer.features import Encode

TAPS = f"pooled, {TAP_DEPTHS}, v2"  # names what TransformersBackbone puts into a feature row
DECODERS = tuple(importlib.metadata.version(name) for name in ("pillow", "simplejpeg"))  # another one, other pixels


@dataclass(frozen=True)
class Encoder:
    """What turns images (n,H,W,3) uint8 into rows, and where its rows are cached.

    graph_path: its ONNX graph behind the graph's SHA-256, where it has one.
    """

    encode: Encode
    cache: FeatureCache
    graph_path: Path | None = None


def backbone_encoder(
    backbone: BackboneSpec, spec: PreprocessSpec, cache_dir: Path, say: Callable[[str], None] = lambda _text: None
) -> Encoder:
    """Features (n,D) float32 of the frozen backbone, one thread a session call; the graph is built once and kept."""
    name = f"{backbone.sha256[:32]}-{cache_key(repr(backbone.mean), repr(backbone.std), TAPS)[:8]}"
    path = cache_dir / "encoders" / f"{name}-{spec.height}x{spec.width}.graph"
    graph = _read_graph(path)
    if graph is None:
        say(f"preparing {backbone.name} for {spec.width}x{spec.height} images, once: 10 to 60 s")
        graph = _build_graph(backbone, path)
    session = _open_session(graph)

    def encode(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        features: NDArray[np.float32] = session.run(["features"], {"images": images})[0]
        return features

    key = cache_key(backbone.sha256, repr((backbone.mean, backbone.std)), TAPS, *_pixels(spec))
    return Encoder(encode, FeatureCache(cache_dir / "features" / key), path)


def pixel_encoder(spec: PreprocessSpec, cache_dir: Path) -> Encoder:
    """The preprocessed images themselves, (n,H,W,3) uint8."""
    return Encoder(lambda images: images, FeatureCache(cache_dir / "pixels" / cache_key(*_pixels(spec))))


def _pixels(spec: PreprocessSpec) -> tuple[str, ...]:
    """What the pixels of an image depend on besides its bytes."""
    return (spec.model_dump_json(), *DECODERS)


def _open_session(graph: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _read_graph(path: Path) -> bytes | None:
    """The ONNX graph of a file that `_build_graph` wrote; None where there is none, or a damaged one."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, graph = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
    return graph if hashlib.sha256(graph).digest() == digest else None


def _build_graph(backbone: BackboneSpec, path: Path) -> bytes:
    """Export the backbone, and keep its graph behind the graph's SHA-256."""
    import torch

    from trainer.backbone import load_encoder
    from trainer.onnx_graph import export_onnx

    example = torch.zeros(2, backbone.height, backbone.width, 3, dtype=torch.uint8)
    graph = export_onnx(load_encoder(backbone), example, input_name="images", output_names=["features"])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, hashlib.sha256(graph).digest() + graph)
    return graph
