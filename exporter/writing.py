"""How every bundle is written, whether its model was trained here or elsewhere.

In this order: a name and a version that may be part of a URL, a place that can be written, a draft of the manifest for
a graph that was proven, the card, the list of files, the signature, the file, whole or not at all. It proves nothing.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from bundle.keys import SigningKey
from bundle.manifest import Manifest, ModelName, ModelVersion, ParityReport, PreprocessSpec, TensorSpec, Variant
from bundle.pack import describe_files, pack_bundle
from bundle.sealed import Recipient
from bundle.versions import library_versions
from exporter.card import render_card
from exporter.errors import ExportError
from exporter.graph import INPUT, LOGITS, PROBABILITIES

MODEL_FILE, GOLDEN_FILE, CARD_FILE = "model.onnx", "golden.npz", "card.md"
RECORDED_LIBRARIES: Final = ("torch", "onnx", "onnxruntime", "transformers", "numpy", "pillow", "simplejpeg")

Step = Callable[[str, int, int], None]
"""Told what is being done, and how much of the whole was done before it."""


def checked_names(out: Path, name: str | None, version: str) -> tuple[str, str]:
    """The model's name, by default the file's, and its version. Raises ExportError for what no URL may hold."""
    name = default_name(out) if name is None else name
    try:
        name = TypeAdapter(ModelName).validate_python(name)
    except ValidationError as error:
        raise ExportError(
            f"model name: expected 1 to 100 letters, digits, '.', '_' or '-', a letter or digit first, since it is part"
            f" of a URL; found {name!r}. Choose another."
        ) from error
    try:
        return name, TypeAdapter(ModelVersion).validate_python(version)
    except ValidationError as error:
        raise ExportError(
            f"model version: expected 1 to 64 letters, digits, '.', '_', '+' or '-', a letter or digit first; found"
            f" {version!r}. Choose another."
        ) from error


def check_place(out: Path) -> None:
    """Try the place before the minutes that a bundle takes. Leaves nothing behind; missing folders are made at the end.

    Raises ExportError where `out` could not be written.
    """
    try:
        if out.is_dir():
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        folder = out.parent
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(out, error) from error


def default_name(out: Path) -> str:
    """The model's name where none is given: the bundle file's, with what a name may not hold replaced by '-'."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in out.stem)
    return kept.lstrip("._-")[:100] or "model"


def draft_manifest(
    graph: bytes,
    parity: ParityReport,
    spec: PreprocessSpec,
    labels: tuple[str, ...],
    now: datetime | None,
    **facts: Any,
) -> Manifest:
    """The manifest of a bundle of full precision, whose files are not all there yet: only the graph's entry is true.

    facts: the fields in which models differ.
    """
    scores = ("batch", len(labels))
    return Manifest(
        model_id=hashlib.sha256(graph).hexdigest(),
        created_at=(now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        labels=labels,
        preprocessing=spec,
        input=TensorSpec(name=INPUT, dtype="uint8", shape=("batch", spec.height, spec.width, 3)),
        outputs=(
            TensorSpec(name=PROBABILITIES, dtype="float32", shape=scores),
            TensorSpec(name=LOGITS, dtype="float32", shape=scores),
        ),
        variants=(Variant(name="fp32", precision="fp32", file=MODEL_FILE, parity=parity),),
        golden=GOLDEN_FILE,
        library_versions=library_versions(RECORDED_LIBRARIES),
        files=describe_files({MODEL_FILE: graph, GOLDEN_FILE: b""}),
        **facts,
    )


def write_bundle(
    out: Path, draft: Manifest, files: Mapping[str, bytes], key: SigningKey, recipients: Sequence[Recipient] = ()
) -> Manifest:
    """Write the files with a card, sign them, and return the manifest that was signed.

    files: by name, all but the card.  recipients: see `bundle.pack.pack_bundle`.  Raises ExportError where `out` cannot
    be written.
    """
    shown = draft.model_copy(update={"files": describe_files(files)})  # the card shows what stands beside it
    files = {**files, CARD_FILE: render_card(shown).encode()}
    manifest = Manifest.model_validate({**draft.model_dump(), "files": describe_files(files)})
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        pack_bundle(out, manifest, files, key, recipients)
    except OSError as error:
        raise _unwritable(out, error) from error
    return manifest


def _unwritable(out: Path, error: OSError) -> ExportError:
    return ExportError(
        f"{out}: expected to write the bundle there, found {error.strerror or error}. Check the path, its permissions"
        " and the free space."
    )
