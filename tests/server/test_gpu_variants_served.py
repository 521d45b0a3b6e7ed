"""Forms for GPUs: each serves on what it was made for and nowhere else, after its own golden answers have come out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from color_bundle import BLUE, GREEN, RED, SIDE, color_graph, make_manifest, run_graph, slow_graph
from fake_gpu import FakeGpu
from fake_tensorrt import FakeTensorRT, fake_builder
from running_server import Install

from bundle.decode import ImageLimits
from bundle.errors import GoldenMismatch
from bundle.golden import Golden
from bundle.load import load_bundle
from bundle.manifest import Certificate, GateLimits, Manifest, MetricEstimate, Precision, PreprocessSpec, Variant
from bundle.pack import describe_files, pack_bundle
from bundle.preprocess import preprocess
from bundle.trust import TrustStore
from server.engines.factory import EngineOptions, engine_factory
from server.engines.protocol import Engine, EngineFactory
from server.engines.providers import CPU, CUDA, TENSORRT
from server.errors import EngineError, VariantRefused
from server.models.loader import load_model
from server.models.model import ServedModel
from server.models.variants import VariantPolicy, Wanted

IMAGES = (RED, GREEN, BLUE)
CERTIFICATE = Certificate(
    provider=CPU, split="test", images=100, metric="accuracy", full=0.9, value=0.895,
    loss=MetricEstimate(value=0.005), agreement=0.99, max_difference=0.1, decisions_flipped=1,
    golden_tolerance=0.02, limits=GateLimits(),
)  # fmt: skip
FAILED = CERTIFICATE.model_copy(update={"agreement": 0.5})
FORMS: dict[str, tuple[Precision, tuple[str, ...] | None, float]] = {
    "fp16": ("fp16", (CUDA, TENSORRT), 0.0402),
    "int8": ("int8", None, 0.0404),
    "int8-tensorrt": ("int8", (TENSORRT,), 0.0406),
}  # name -> precision, what it serves on, gain of its graph


def add_bundle(
    install: Install, fast: str, certificate: Certificate | None = CERTIFICATE, golden_shift: float = 0.0
) -> Path:
    """A bundle of all four forms, of which `fast` alone is fast; full precision is slow, all others far slower.

    certificate, golden_shift: of the forms for GPUs.
    """
    pixels = np.stack([preprocess(image, PreprocessSpec(height=SIDE, width=SIDE)) for image in IMAGES])
    gains = {"fp32": 0.04} | {name: gain for name, (_, _, gain) in FORMS.items()}
    files = {"card.md": b"# test\n"}
    for name, gain in gains.items():
        end = "" if name == "fp32" else f".{name}"
        files[f"model{end}.onnx"] = (
            color_graph(gain) if name == fast else slow_graph(gain, 512 if name == "fp32" else 1536)
        )
        probabilities, logits = run_graph(color_graph(gain), pixels)
        shift = np.float32(golden_shift if name in ("fp16", "int8-tensorrt") else 0)
        files[f"golden{end}.npz"] = Golden(IMAGES, np.abs(probabilities - shift), logits).to_bytes()
    manifest = make_manifest(files["model.onnx"], describe_files(files), "colours", "1")
    variants = [
        Variant(
            name=name, precision=precision, file=f"model.{name}.onnx", parity=manifest.variants[0].parity,
            golden=f"golden.{name}.npz", certificate=certificate if serves_on else CERTIFICATE, serves_on=serves_on,
        )
        for name, (precision, serves_on, _) in FORMS.items()
    ]  # fmt: skip
    manifest = Manifest.model_validate({**manifest.model_dump(), "variants": (*manifest.variants, *variants)})
    path = install.models / "colours.onsight"
    pack_bundle(path, manifest, files, install.key)
    return path


def on_cpu() -> EngineFactory:
    return engine_factory(EngineOptions())


def on_cuda() -> EngineFactory:
    """ONNX Runtime, which says of itself to run on CUDA."""
    build = on_cpu()

    def on_a_gpu(manifest: Manifest, graph: bytes, *, private: bool = False) -> Engine:
        engine = build(manifest, graph, private=private)
        engine.providers = (CUDA, CPU)  # type: ignore[misc]
        return engine

    return on_a_gpu


def on_tensorrt() -> EngineFactory:
    """The real provider, on hardware that is not there."""
    gpu = FakeGpu()
    return fake_builder(EngineOptions((TENSORRT,)), gpu, FakeTensorRT(gpu)).build


HARDWARE = {CPU: on_cpu, CUDA: on_cuda, TENSORRT: on_tensorrt}


def load(
    install: Install, path: Path, build: EngineFactory, provider: str, precision: Wanted = "auto"
) -> tuple[ServedModel, list[str]]:
    """The model, and which forms were built for it, in their order."""
    bundle = load_bundle(path, TrustStore(install.home.trust_dir))
    names = {bundle.files[variant.file]: variant.name for variant in bundle.manifest.variants}
    built: list[str] = []

    def watched(manifest: Manifest, graph: bytes, *, private: bool = False) -> Engine:
        built.append(names[graph])
        return build(manifest, graph, private=private)

    policy = VariantPolicy(precision, providers=(provider,))
    return load_model(bundle, "default", path.name, watched, ImageLimits(), policy), built


@pytest.mark.parametrize(
    ("provider", "fast", "serves", "built"),
    [
        (CPU, "int8", "int8", ["fp32", "int8"]),
        (CPU, "fp16", "fp32", ["fp32", "int8"]),
        (CUDA, "fp16", "fp16", ["fp32", "fp16"]),
        (CUDA, "int8-tensorrt", "fp32", ["fp32", "fp16"]),
        (TENSORRT, "int8-tensorrt", "int8-tensorrt", ["fp32", "fp16", "int8-tensorrt"]),
        (TENSORRT, "fp16", "fp16", ["fp32", "fp16", "int8-tensorrt"]),
        (TENSORRT, "int8", "fp32", ["fp32", "fp16", "int8-tensorrt"]),
    ],
)
def test_the_fastest_of_those_made_for_the_hardware_serves_and_no_other_is_built(
    provider: str, fast: str, serves: str, built: list[str], install: Install
) -> None:
    model, found = load(install, add_bundle(install, fast), HARDWARE[provider](), provider)
    assert (model.variant.name, found) == (serves, built)
    assert model.engine.providers[0] == provider
    assert model.predict(GREEN).decision.labels == ("green",)
    model.engine.close()


@pytest.mark.parametrize(
    ("provider", "precision", "serves", "built"),
    [
        (CPU, "int8", "int8", ["int8"]),
        (TENSORRT, "int8", "int8-tensorrt", ["int8-tensorrt"]),
        (TENSORRT, "fp16", "fp16", ["fp16"]),
        (CUDA, "fp16", "fp16", ["fp16"]),
        (TENSORRT, "fp32", "fp32", ["fp32"]),
    ],
)
def test_a_precision_that_is_named_serves_in_the_form_made_for_the_hardware(
    provider: str, precision: Wanted, serves: str, built: list[str], install: Install
) -> None:
    model, found = load(install, add_bundle(install, "fp32"), HARDWARE[provider](), provider, precision)
    assert (model.variant.name, found) == (serves, built)
    model.engine.close()


@pytest.mark.parametrize(
    ("provider", "precision", "wanted"),
    [(CPU, "fp16", f"{CUDA} or {TENSORRT}"), (CUDA, "int8", CPU)],
)
def test_a_precision_that_is_named_and_not_made_for_the_hardware_is_refused(
    provider: str, precision: Wanted, wanted: str, install: Install
) -> None:
    with pytest.raises(VariantRefused, match=f"to run on {wanted}, as it was made for, found {provider}"):
        load(install, add_bundle(install, "fp32"), HARDWARE[provider](), provider, precision)


def test_where_a_later_provider_runs_it_the_form_made_for_that_serves(install: Install) -> None:
    """TensorRT was wanted, its int8 graph comes out on a CPU: that form is refused, the one for CPUs serves."""
    model, built = load(install, add_bundle(install, "fp32"), on_cpu(), TENSORRT, "int8")
    assert (model.variant.name, built) == ("int8", ["int8-tensorrt", "int8"])


@pytest.mark.parametrize("certificate", [None, FAILED])
@pytest.mark.parametrize("build", [on_cuda, on_tensorrt])
def test_a_form_for_gpus_that_is_not_certified_never_runs(
    build: Callable[[], EngineFactory], certificate: Certificate | None, install: Install,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    provider = CUDA if build is on_cuda else TENSORRT
    path = add_bundle(install, "fp16", certificate)
    model, built = load(install, path, build(), provider)
    assert (model.variant.name, built) == ("fp32", ["fp32"])
    assert caplog.messages.count("variant does not serve") == 2
    with pytest.raises(VariantRefused, match="expected a certificate"):
        load(install, path, build(), provider, "fp16")


def test_a_device_that_strays_from_the_golden_answers_serves_in_full_precision(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "onsight.server")
    path = add_bundle(install, "int8-tensorrt", golden_shift=0.03)
    model, built = load(install, path, on_tensorrt(), TENSORRT)
    assert (model.variant.name, len(built)) == ("fp32", 3)
    assert caplog.messages.count("variant does not serve") == 2
    with pytest.raises(GoldenMismatch):
        load(install, path, on_tensorrt(), TENSORRT, "int8")


def test_a_form_that_tensorrt_cannot_read_leaves_full_precision_serving(install: Install) -> None:
    build = on_tensorrt()
    path = add_bundle(install, "int8-tensorrt")
    full = load_bundle(path, TrustStore(install.home.trust_dir)).files["model.onnx"]

    def reads_full_precision_alone(manifest: Manifest, graph: bytes, *, private: bool = False) -> Engine:
        if graph != full:
            raise EngineError("graph: TensorRT cannot read it")
        return build(manifest, graph, private=private)

    model, built = load(install, path, reads_full_precision_alone, TENSORRT)
    assert (model.variant.name, len(built)) == ("fp32", 3)
