"""The manifest: everything a server must know of a model, in one frozen, versioned document.

Bytes come in through `parse_manifest` and go out through `Manifest.to_bytes`; the signature covers those exact bytes,
so nothing here may be re-serialised between signing and verifying.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    model_serializer,
    model_validator,
)

from bundle.errors import MalformedBundle, UnsupportedSchema
from bundle.reasons import first_complaint

SCHEMA_VERSION: Final = 1
MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.sig"
MAX_LABELS = 100_000
_ROUNDING: Final = 1e-9  # 0.90 - 0.89 is a little more than 0.01

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
ModelVersion = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Precision = Literal["fp32", "fp16", "int8"]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Task(StrEnum):
    """How labels relate: exactly one of them is true of an image, or any number of them."""

    SINGLE_LABEL = "single_label"
    MULTI_LABEL = "multi_label"


class Frozen(BaseModel):
    """A closed, immutable document: an unknown field is an error, not a surprise."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class PreprocessSpec(Frozen):
    """How image bytes become the uint8 array that the model takes. `bundle.preprocess` is its only implementation."""

    version: Literal[1, 2] = Field(
        default=2, description="how far a JPEG may be scaled while it is decoded; 1 is read for older bundles"
    )
    height: int = Field(ge=8, le=4096, description="rows of the model's input, pixels")
    width: int = Field(ge=8, le=4096, description="columns of the model's input, pixels")
    resize: Literal["squash", "center_crop"] = Field(
        default="squash",
        description="squash: the whole image, its aspect ratio given up; center_crop: the largest centred"
        " rectangle of the model's aspect ratio, times crop_fraction",
    )
    crop_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    jpeg_scaled_decode: bool = Field(
        default=True,
        description="decode a JPEG at the smallest scale of 1/8, 1/4, 1/2 and 1 that keeps both sides at least as long"
        " as the input's (version 1: twice as long)",
    )


class TensorSpec(Frozen):
    name: str
    dtype: Literal["uint8", "float32"]
    shape: tuple[int | Literal["batch"], ...]


class Calibration(Frozen):
    """Temperature scaling (Guo et al. 2017); the temperature is part of the graph already and recorded here."""

    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    fitted_on: str = "none"
    ece_before: Fraction | None = None
    ece_after: Fraction | None = None


class UnknownRejection(Frozen):
    """An image whose energy (see `bundle.decide.energy`, for each task) lies below the threshold is unknown."""

    method: Literal["energy"] = "energy"
    energy_threshold: Finite
    known_rejected_fraction: Fraction = Field(description="share of known validation images below the threshold")


class MetricEstimate(Frozen):
    """A figure with its 95 % bootstrap interval."""

    value: Finite
    low: Finite | None = None
    high: Finite | None = None


class ParityReport(Frozen):
    """Largest absolute difference of final probabilities, real image bytes to scores, against the trained model.

    Of a variant with a certificate: against its own answers to single images.
    """

    images: int = Field(ge=1)
    batch_sizes: tuple[int, ...]
    max_difference: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    tolerance: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    decisions_flipped: int = Field(ge=0)


class GateLimits(Frozen):
    """What a variant of lower precision may lose against full precision, on images that were held out."""

    max_loss: Fraction = Field(default=0.01, description="of accuracy, or of mean average precision")
    min_agreement: Fraction = Field(default=0.97, description="share of answers that stay as they are")
    max_rejected_change: Fraction = Field(
        default=0.01, description="of the share of images called unknown; one image is always allowed"
    )


class Certificate(Frozen):
    """How a variant compares with full precision on held-out images; whether it passed follows from the figures."""

    provider: str = Field(
        description="ONNX Runtime execution provider that it was measured on; it serves there alone, unless the variant"
        " names others"
    )
    split: Literal["test", "validation"]
    images: int = Field(ge=1)
    metric: Literal["accuracy", "mean_average_precision"]
    full: Fraction = Field(description="the metric in full precision")
    value: Fraction = Field(description="the variant's")
    loss: MetricEstimate = Field(description="full less value; the interval is a paired bootstrap's")
    agreement: Fraction = Field(
        description="single-label: share of images with the same top label; multi-label: of labels decided alike"
    )
    max_difference: Fraction = Field(description="largest difference of a probability")
    decisions_flipped: int = Field(ge=0, description="images that are answered differently: labels or unknown")
    rejected_full: Fraction | None = Field(default=None, description="share of images called unknown")
    rejected: Fraction | None = Field(default=None, description="the variant's")
    golden_tolerance: Annotated[float, Field(gt=0, le=1)] = Field(
        description="of a probability: how far other kernels may stray from the variant's golden answers"
    )
    limits: GateLimits

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if abs(self.full - self.value - self.loss.value) > _ROUNDING:
            raise ValueError(
                f"loss: expected {self.full - self.value:.6f}, full less value, found {self.loss.value:.6f}"
            )
        if (self.rejected_full is None) != (self.rejected is None):
            raise ValueError("rejected: expected both shares of unknown images, or neither")
        return self

    @property
    def failures(self) -> tuple[str, ...]:
        """What goes beyond the limits, a sentence part each; empty where the variant may serve."""
        limits, found = self.limits, []
        name = self.metric.replace("_", " ")
        if self.loss.value > limits.max_loss + _ROUNDING:
            found.append(
                f"{name} falls by {self.loss.value:.4f}, from {self.full:.4f} to {self.value:.4f} (at most"
                f" {limits.max_loss:g})"
            )
        if self.agreement < limits.min_agreement - _ROUNDING:
            found.append(f"{self.agreement:.4f} of the answers agree (at least {limits.min_agreement:g})")
        if self.rejected_full is not None and self.rejected is not None:
            change = abs(self.rejected - self.rejected_full)
            if change > max(limits.max_rejected_change, 1 / self.images) + _ROUNDING:
                found.append(
                    f"{self.rejected:.4f} of the images are called unknown, {self.rejected_full:.4f} in full precision"
                    f" (at most {limits.max_rejected_change:g} apart)"
                )
        return tuple(found)

    @property
    def passed(self) -> bool:
        return not self.failures


class Variant(Frozen):
    """One form of the model: its file and the proof that it answers as the trained model does.

    golden: a file of this variant's own golden answers; None where the manifest's are meant.
    certificate: of a variant of lower precision. One that has none, or whose figures do not pass, never serves.
    serves_on: what it was made for, where that is not what it was measured on: a form for GPUs, made without one.
    """

    name: str
    precision: Precision
    file: FileName
    parity: ParityReport
    golden: FileName | None = None
    certificate: Certificate | None = None
    serves_on: Annotated[tuple[str, ...], Field(min_length=1)] | None = None

    @property
    def may_serve(self) -> bool:
        return self.precision == "fp32" or (self.certificate is not None and self.certificate.passed)

    @property
    def runtimes(self) -> tuple[str, ...]:
        """Names of `bundle.runtimes` that may run it; empty for any."""
        if self.serves_on is not None:
            return self.serves_on
        return () if self.certificate is None else (self.certificate.provider,)

    @model_serializer(mode="wrap")
    def _without_what_it_has_not(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A bundle of full precision alone stays one that installs from before certificates read too."""
        document: dict[str, Any] = dump(self)
        return {name: value for name, value in document.items() if value is not None}


class DatasetFacts(Frozen):
    """What the model was trained on: a digest of the snapshot, and counts."""

    snapshot_sha256: Sha256
    images: dict[str, int] = Field(description="images per split: train, validation, test")
    label_counts: dict[str, int] = Field(description="training images per label")


class BackboneFacts(Frozen):
    name: str
    sha256: Sha256
    fine_tuned: bool


class Imported(Frozen):
    """Where a model comes from that was trained elsewhere, and what it was proven with.

    Its `backbone` names the original; its `dataset` and `metrics` hold test images alone, or nothing.
    """

    source: Literal["onnx", "transformers"]
    sha256: Sha256 = Field(description="of the original's files")
    output: Literal["logits", "probabilities"] = Field(description="what the original gives")
    proof_images: Literal["real", "generated"]
    notes: tuple[str, ...] = ()


class FileEntry(Frozen):
    name: FileName
    size: int = Field(ge=0)
    sha256: Sha256


class LicenseDemand(Frozen):
    """Whose licence an install needs to serve the model; the model's name is what the licence has to cover."""

    issuer: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] = Field(
        description="id of the issuer: see docs/licensing.md"
    )


def _a_time_there_is(value: str) -> str:
    """A licence is held against it, so February has no 30th here."""
    try:
        datetime.strptime(value, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError as error:
        raise ValueError(f"expected a time such as 2026-01-02T03:04:05Z, found {value}") from error
    return value


class Manifest(Frozen):
    """The signed description of one model version."""

    schema_version: Literal[1] = SCHEMA_VERSION
    model_id: Sha256 = Field(description="SHA-256 of the ONNX file: the same model has the same id")
    name: ModelName
    version: ModelVersion = "1"
    created_at: Annotated[
        str,
        StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"),
        AfterValidator(_a_time_there_is),
    ]
    task: Task
    labels: tuple[str, ...] = Field(min_length=1, max_length=MAX_LABELS)
    thresholds: tuple[Fraction, ...] = Field(
        description="per label, which is claimed where its probability reaches this (single-label: only the top one)"
    )
    calibration: Calibration = Calibration()
    unknown: UnknownRejection | None = None
    preprocessing: PreprocessSpec
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    backbone: BackboneFacts
    dataset: DatasetFacts
    metrics: dict[str, dict[str, MetricEstimate]] = Field(description="split -> metric -> estimate")
    variants: tuple[Variant, ...] = Field(min_length=1)
    golden: FileName = "golden.npz"
    library_versions: dict[str, str] = {}
    imported: Imported | None = None
    files: tuple[FileEntry, ...]
    license: LicenseDemand | None = Field(default=None, description="the licence that it demands; None: none")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels: expected each label once")
        if any(not label.strip() for label in self.labels):
            raise ValueError("labels: expected no empty label")
        if len(self.thresholds) != len(self.labels):
            raise ValueError(f"thresholds: expected {len(self.labels)} (one a label), found {len(self.thresholds)}")
        names = [entry.name for entry in self.files]
        if len(set(names)) != len(names):
            raise ValueError("files: expected each name once")
        if MANIFEST_NAME in names or SIGNATURE_NAME in names:
            raise ValueError("files: the manifest and its signature cannot list themselves")
        if len({variant.name for variant in self.variants}) != len(self.variants):
            raise ValueError("variants: expected each name once")
        wanted = {self.golden, *(variant.file for variant in self.variants)}
        wanted |= {variant.golden for variant in self.variants if variant.golden is not None}
        if not wanted <= set(names):
            raise ValueError(f"files: expected {sorted(wanted - set(names))} to be listed")
        return self

    @model_serializer(mode="wrap")
    def _without_what_it_has_not(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A bundle that demands no licence, or was trained here, stays one that installs from before those read too."""
        document: dict[str, Any] = dump(self)
        for name in ("license", "imported"):
            if document.get(name) is None:
                document.pop(name, None)
        return document

    @cached_property
    def float32_thresholds(self) -> tuple[float, ...]:
        """The thresholds as the float32 numbers that probabilities are compared with."""
        return tuple(array("f", self.thresholds))

    def with_thresholds(self, thresholds: Sequence[float]) -> Self:
        """The same with other thresholds, one a label in [0, 1]; for answers, since nobody has signed it.

        Raises ValueError.
        """
        if len(thresholds) != len(self.labels) or not all(0 <= value <= 1 for value in thresholds):
            raise ValueError(f"thresholds: expected {len(self.labels)} numbers from 0 to 1, one a label.")
        made = self.model_copy(update={"thresholds": tuple(thresholds)})
        made.__dict__.pop("float32_thresholds", None)  # kept from the original, where that has been asked for them
        return made

    def to_bytes(self) -> bytes:
        """Canonical UTF-8 JSON (sorted keys, two spaces): the bytes that are signed."""
        document = self.model_dump(mode="json")
        return (json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest from its bytes, which must already have been verified.

    Raises UnsupportedSchema for another schema version, MalformedBundle for anything else that does not fit.
    """
    try:
        document = json.loads(data, object_pairs_hook=_refuse_duplicate_keys)
    except (ValueError, RecursionError) as error:
        raise MalformedBundle(f"{MANIFEST_NAME}: expected JSON, found {error}. Export the bundle again.") from error
    found = document.get("schema_version") if isinstance(document, dict) else None
    if found != SCHEMA_VERSION:
        raise UnsupportedSchema(
            f"{MANIFEST_NAME}: this install reads schema version {SCHEMA_VERSION}, found {found!r}."
            " Export the bundle again, or install the Onsight version that wrote it."
        )
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        raise MalformedBundle(f"{MANIFEST_NAME}: {first_complaint(error)}. Export the bundle again.") from error


def _refuse_duplicate_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key that stands twice in one object")
    return dict(pairs)
