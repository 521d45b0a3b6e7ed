"""Golden inputs: real image bytes with the scores that the model must give for them, on every machine.

A `golden.npz` holds four plain arrays and is read without pickle and without decompression: `images` (all image bytes
one after the other), `offsets` (where each begins and ends), `probabilities`, `logits`. `replay_golden` takes the bytes
through the same preprocessing as a request, asks the running model, and compares. Never loads or starts a runtime
itself.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from bundle.errors import GoldenMismatch, ImageError, MalformedBundle
from bundle.manifest import Manifest, Variant
from bundle.preprocess import preprocess

# uint8 (N, H, W, 3) -> probabilities float32 (N, C), logits float32 (N, C)
Infer: TypeAlias = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float32]]]

MAX_IMAGES: Final = 10_000
REPLAY_BATCH: Final = 16
TOLERANCE: Final = 1e-3  # of a probability; a certificate has its own
_DTYPES: Final[dict[str, str]] = {"images": "|u1", "offsets": "<i8", "probabilities": "<f4", "logits": "<f4"}


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """N images as files' bytes; probabilities float32 (N, C) in [0, 1]; logits float32 (N, C), finite.

    Raises MalformedBundle where the parts do not fit each other.
    """

    images: tuple[bytes, ...]
    probabilities: NDArray[np.float32]
    logits: NDArray[np.float32]

    def __post_init__(self) -> None:
        shape = self.probabilities.shape
        if not 1 <= len(self.images) <= MAX_IMAGES or not all(self.images):
            raise _malformed(f"1 to {MAX_IMAGES} images, none empty", f"{len(self.images)}")
        if len(shape) != 2 or shape[0] != len(self.images) or shape[1] < 1 or self.logits.shape != shape:
            raise _malformed(
                f"probabilities and logits of shape ({len(self.images)}, C)", f"{shape} and {self.logits.shape}"
            )
        if self.probabilities.dtype != np.float32 or self.logits.dtype != np.float32:
            raise _malformed("float32 scores", f"{self.probabilities.dtype} and {self.logits.dtype}")
        if not np.isfinite(self.logits).all():
            raise _malformed("finite logits", "an infinite or undefined one")
        if not ((self.probabilities >= 0) & (self.probabilities <= 1)).all():
            raise _malformed("probabilities between 0 and 1", "another value")

    def to_bytes(self) -> bytes:
        """The npz file (stored zip of four .npy arrays); equal content gives equal bytes."""
        offsets = np.cumsum([0, *map(len, self.images)], dtype=np.int64)
        out = io.BytesIO()
        np.savez(
            out,
            images=np.frombuffer(b"".join(self.images), np.uint8),
            offsets=offsets,
            probabilities=np.ascontiguousarray(self.probabilities),
            logits=np.ascontiguousarray(self.logits),
        )
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Golden:
        """Read `to_bytes`' output; memory stays within a few times len(data). Raises MalformedBundle."""
        arrays = _read_arrays(data)
        images, offsets = arrays["images"], arrays["offsets"]
        if images.ndim != 1 or offsets.ndim != 1 or not 2 <= len(offsets) <= MAX_IMAGES + 1:
            raise _malformed(f"offsets of 1 to {MAX_IMAGES} images", f"shapes {images.shape}, {offsets.shape}")
        if offsets[0] != 0 or offsets[-1] != len(images) or (np.diff(offsets) <= 0).any():
            raise _malformed("offsets that rise from 0 to the number of bytes", "others")
        raw = images.tobytes()
        return cls(
            images=tuple(raw[start:end] for start, end in pairwise(offsets.tolist())),
            probabilities=arrays["probabilities"],
            logits=arrays["logits"],
        )


def golden_of(variant: Variant, manifest: Manifest, files: Mapping[str, bytes]) -> tuple[Golden, float]:
    """The answers that a form of the model must reproduce, and how far it may stray from their probabilities.

    Raises MalformedBundle.
    """
    golden = Golden.from_bytes(files[variant.golden or manifest.golden])
    certificate = variant.certificate
    return golden, TOLERANCE if certificate is None else certificate.golden_tolerance


def replay_golden(golden: Golden, manifest: Manifest, infer: Infer, tolerance: float = TOLERANCE) -> float:
    """Run the golden images through preprocessing and `infer`; return the largest difference of any probability.

    infer is called with batches of at most 16 images.
    Raises GoldenMismatch where the shapes differ, a score is not finite, or the difference is above `tolerance`.
    """
    classes = len(manifest.labels)
    if golden.probabilities.shape[1] != classes:
        raise GoldenMismatch(
            f"golden scores: expected {classes} classes as in the manifest, found {golden.probabilities.shape[1]}."
            " Export the bundle again."
        )
    largest = 0.0
    for start in range(0, len(golden.images), REPLAY_BATCH):
        images = golden.images[start : start + REPLAY_BATCH]
        try:
            batch = np.stack([preprocess(image, manifest.preprocessing) for image in images])  # (n, H, W, 3)
        except ImageError as error:
            raise GoldenMismatch(f"golden images {start} to {start + len(images) - 1}: {error}") from error
        probabilities, logits = infer(batch)
        expected = golden.probabilities[start : start + len(images)]
        largest = max(largest, _compare(expected, probabilities, logits, tolerance, start))
    return largest


def _compare(
    expected: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    logits: NDArray[np.float32],
    tolerance: float,
    start: int,
) -> float:
    for name, found in (("probabilities", probabilities), ("logits", logits)):
        if np.shape(found) != expected.shape:
            raise GoldenMismatch(
                f"golden replay: expected {name} of shape {expected.shape}, found {np.shape(found)}."
                " Export the bundle again."
            )
        if not np.isfinite(found).all():
            raise GoldenMismatch(
                f"golden replay: expected finite {name}, found an infinite or undefined one. Try another variant of the"
                " model, or the CPU."
            )
    difference = np.abs(probabilities.astype(np.float64) - expected.astype(np.float64)).max(axis=1)  # (n, C) -> (n,)
    worst = int(difference.argmax())
    if difference[worst] > tolerance:
        raise GoldenMismatch(
            f"golden image {start + worst}: expected probabilities within {tolerance:g} of the recorded ones, found a"
            f" difference of {difference[worst]:.3g}. This machine's runtime answers differently: try another variant"
            " of the model, or the CPU; if that fails too, export the bundle again."
        )
    return float(difference[worst])


def _read_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = {info.filename: info for info in archive.infolist()}
            if sorted(infos) != sorted(f"{name}.npy" for name in _DTYPES) or len(archive.infolist()) != len(infos):
                raise _malformed(f"the arrays {', '.join(_DTYPES)}", ", ".join(sorted(infos))[:200])
            # stored and no larger than the file: reading cannot blow up
            if any(info.compress_type != zipfile.ZIP_STORED or info.file_size > len(data) for info in infos.values()):
                raise _malformed("stored arrays", "compressed ones")
            return {name: _read_array(archive.read(f"{name}.npy"), name) for name in _DTYPES}
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise _malformed("an npz file", str(error)[:200]) from error


def _read_array(data: bytes, name: str) -> NDArray[Any]:
    """One .npy array of the expected dtype; the header is parsed with literals alone, so no pickle can be in it."""
    file = io.BytesIO(data)
    if npy.read_magic(file) != (1, 0):
        raise ValueError(f"{name}: expected npy format 1.0")
    shape, fortran_order, dtype = npy.read_array_header_1_0(file)
    count = math.prod(shape)
    if dtype.str != _DTYPES[name] or fortran_order or count * dtype.itemsize != len(data) - file.tell():
        raise ValueError(f"{name}: expected a whole array of {_DTYPES[name]} in C order, found {dtype.str} {shape}")
    return np.frombuffer(data, dtype, offset=file.tell()).reshape(shape)


def _malformed(expected: str, found: str) -> MalformedBundle:
    return MalformedBundle(f"golden inputs: expected {expected}, found {found}. Export the bundle again.")
