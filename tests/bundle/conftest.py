"""A small but complete signed bundle: real keys, a real archive, real image bytes; only the model is a stand-in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_images import encode, picture

from bundle.decide import probabilities_from_logits
from bundle.golden import Golden
from bundle.keys import SigningKey
from bundle.manifest import Manifest, Task, parse_manifest
from bundle.pack import describe_files, pack_bundle
from bundle.trust import TrustStore

MODEL = b"stand-in for an ONNX graph: the bundle room never looks inside" * 5


@dataclass(frozen=True)
class SignedBundle:
    """A packed bundle, what it was made of, and a store that trusts its key."""

    path: Path
    manifest: Manifest
    files: dict[str, bytes]
    key: SigningKey
    trust: TrustStore


@pytest.fixture(scope="session")
def signing_key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture
def trust(tmp_path: Path, signing_key: SigningKey) -> TrustStore:
    store = TrustStore(tmp_path / "trust")
    store.add(signing_key.public_key, "the maker")
    return store


@pytest.fixture(scope="session")
def golden() -> Golden:
    logits = np.array([[2.0, 0.0, -1.0], [0.5, 0.25, 4.0]], np.float32)
    images = (encode(picture(), "JPEG"), encode(picture(40, 56), "PNG"))
    return Golden(images, probabilities_from_logits(logits, Task.SINGLE_LABEL), logits)


@pytest.fixture(scope="session")
def files(golden: Golden) -> dict[str, bytes]:
    return {"model.onnx": MODEL, "golden.npz": golden.to_bytes(), "card.md": "# Bäume\n".encode()}


@pytest.fixture(scope="session")
def make_manifest(files: dict[str, bytes]) -> Callable[..., Manifest]:
    """Build a manifest for `files`, with any field changed."""

    def make(**changes: Any) -> Manifest:
        parity = {
            "images": 2, "batch_sizes": [1, 2], "max_difference": 1e-6, "tolerance": 1e-3, "decisions_flipped": 0,
        }  # fmt: skip
        scores = {"dtype": "float32", "shape": ["batch", 3]}
        return Manifest.model_validate(
            {
                "model_id": hashlib.sha256(MODEL).hexdigest(),
                "name": "trees",
                "created_at": "2026-01-02T03:04:05Z",
                "task": "single_label",
                "labels": ["ash", "Buche", "čedr"],
                "thresholds": [0.0, 0.0, 0.0],
                "preprocessing": {"height": 32, "width": 48},
                "input": {"name": "images", "dtype": "uint8", "shape": ["batch", 32, 48, 3]},
                "outputs": [{"name": "probabilities", **scores}, {"name": "logits", **scores}],
                "backbone": {"name": "tiny", "sha256": "0" * 64, "fine_tuned": False},
                "dataset": {"snapshot_sha256": "1" * 64, "images": {"train": 9}, "label_counts": {"ash": 3}},
                "metrics": {"test": {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95}}},
                "variants": [{"name": "fp32", "precision": "fp32", "file": "model.onnx", "parity": parity}],
                "files": [entry.model_dump() for entry in describe_files(files)],
                **changes,
            }
        )

    return make


@pytest.fixture(scope="session")
def manifest(make_manifest: Callable[..., Manifest]) -> Manifest:
    made = make_manifest()
    assert parse_manifest(made.to_bytes()) == made
    return made


@pytest.fixture
def signed_bundle(
    tmp_path: Path, manifest: Manifest, files: dict[str, bytes], signing_key: SigningKey, trust: TrustStore
) -> SignedBundle:
    path = tmp_path / "trees.onsight"
    pack_bundle(path, manifest, files, signing_key)
    return SignedBundle(path, manifest, files, signing_key, trust)
