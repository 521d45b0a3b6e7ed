"""Which form of a model serves: certified, proven, and the faster one where the setting leaves it open."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from color_bundle import BLUE, GREEN, RED, SIDE, color_graph, make_manifest, run_graph, slow_graph
from running_server import Install, RunningServer

from bundle.decode import ImageLimits
from bundle.golden import Golden
from bundle.load import load_bundle
from bundle.manifest import Certificate, GateLimits, Manifest, MetricEstimate, PreprocessSpec, Variant
from bundle.pack import describe_files, pack_bundle
from bundle.preprocess import preprocess
from bundle.trust import TrustStore
from server.engines.factory import EngineOptions, engine_factory
from server.engines.providers import CPU, CUDA
from server.errors import VariantRefused
from server.models.keeper import Keeper
from server.models.loader import load_model
from server.models.model import ServedModel
from server.models.registry import Registry
from server.models.variants import VariantPolicy, time_engines
from server.tokens import Scope

IMAGES = (RED, GREEN, BLUE)
GAIN = 0.041  # the variant's; full precision has 0.04
CERTIFICATE = Certificate(
    provider=CPU, split="test", images=100, metric="accuracy", full=0.9, value=0.895,
    loss=MetricEstimate(value=0.005), agreement=0.99, max_difference=0.1, decisions_flipped=1, rejected_full=0.01,
    rejected=0.01, golden_tolerance=0.02, limits=GateLimits(),
)  # fmt: skip
FAILED = CERTIFICATE.model_copy(update={"agreement": 0.5})
AUTO = VariantPolicy("auto")


def add_bundle(
    install: Install,
    certificate: Certificate | None = CERTIFICATE,
    *,
    full: bytes | None = None,
    int8: bytes | None = None,
    golden_shift: float = 0.0,
    without_full: bool = False,
) -> Path:
    """A bundle with a variant that says of itself to be int8. golden_shift: of its recorded answers."""
    full, int8 = full or color_graph(), int8 or color_graph(GAIN)
    pixels = np.stack([preprocess(image, PreprocessSpec(height=SIDE, width=SIDE)) for image in IMAGES])
    files = {"model.onnx": full, "model.int8.onnx": int8, "card.md": b"# test\n"}
    for name, gain, shift in (("golden.npz", 0.04, 0.0), ("golden.int8.npz", GAIN, golden_shift)):
        probabilities, logits = run_graph(color_graph(gain), pixels)
        files[name] = Golden(IMAGES, np.abs(probabilities - np.float32(shift)), logits).to_bytes()
    manifest = make_manifest(full, describe_files(files), "colours", "1")
    variant = Variant(
        name="int8", precision="int8", file="model.int8.onnx", parity=manifest.variants[0].parity,
        golden="golden.int8.npz", certificate=certificate,
    )  # fmt: skip
    kept = () if without_full else manifest.variants
    manifest = Manifest.model_validate({**manifest.model_dump(), "variants": (*kept, variant)})
    path = install.models / "colours.onsight"
    pack_bundle(path, manifest, files, install.key)
    return path


def load(install: Install, path: Path, policy: VariantPolicy) -> ServedModel:
    bundle = load_bundle(path, TrustStore(install.home.trust_dir))
    return load_model(bundle, "default", path.name, engine_factory(EngineOptions()), ImageLimits(), policy)


def precision_of(install: Install, path: Path, policy: VariantPolicy) -> str:
    return load(install, path, policy).variant.precision


@pytest.fixture
def fast_int8(install: Install) -> Path:
    return add_bundle(install, full=slow_graph(0.04))


def test_the_faster_form_serves_and_both_figures_are_logged(
    install: Install, fast_int8: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "onsight.server")
    model = load(install, fast_int8, AUTO)
    assert model.variant.name == "int8"
    assert model.predict(GREEN).decision.labels == ("green",)
    (chosen,) = [record for record in caplog.records if record.message == "variant chosen"]
    figures = vars(chosen)
    assert 0 < figures["int8_ms"] < figures["fp32_ms"]


def test_a_variant_that_is_no_faster_does_not_serve(install: Install) -> None:
    assert precision_of(install, add_bundle(install, int8=slow_graph(GAIN)), AUTO) == "fp32"


def test_the_setting_names_the_form(install: Install, fast_int8: Path) -> None:
    assert precision_of(install, fast_int8, VariantPolicy("fp32")) == "fp32"
    assert precision_of(install, fast_int8, VariantPolicy()) == "fp32"
    assert precision_of(install, add_bundle(install, int8=slow_graph(GAIN)), VariantPolicy("int8")) == "int8"


@pytest.mark.parametrize("certificate", [None, FAILED])
def test_a_variant_that_is_not_certified_never_serves(
    certificate: Certificate | None, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    path = add_bundle(install, certificate, full=slow_graph(0.04))
    assert precision_of(install, path, AUTO) == "fp32"
    assert "variant does not serve" in caplog.messages
    why = "it has none" if certificate is None else "0.5000 of the answers agree"
    with pytest.raises(VariantRefused, match=f"expected a certificate .*{why}"):
        load(install, path, VariantPolicy("int8"))
    with pytest.raises(VariantRefused, match=why):
        load(install, add_bundle(install, certificate, without_full=True), AUTO)


def test_a_bundle_without_full_precision_serves_what_is_certified_unless_full_precision_is_asked_for(
    install: Install,
) -> None:
    path = add_bundle(install, without_full=True)
    assert precision_of(install, path, AUTO) == "int8"
    with pytest.raises(VariantRefused, match="expected a variant of precision fp32"):
        load(install, path, VariantPolicy("fp32"))


def test_a_bundle_from_before_certificates_serves_in_full_precision(install: Install) -> None:
    path = install.add_bundle()
    assert precision_of(install, path, AUTO) == "fp32"
    with pytest.raises(VariantRefused, match="expected a variant of precision int8, as ONSIGHT_PRECISION says"):
        load(install, path, VariantPolicy("int8"))


def test_a_variant_serves_only_where_it_was_measured(install: Install) -> None:
    path = add_bundle(install, CERTIFICATE.model_copy(update={"provider": CUDA}), full=slow_graph(0.04))
    assert precision_of(install, path, AUTO) == "fp32"
    with pytest.raises(VariantRefused, match=f"to run on {CUDA}, as it was made for, found {CPU}"):
        load(install, path, VariantPolicy("int8"))


def test_a_variant_serves_only_where_all_devices_run_it_as_it_was_measured(install: Install, fast_int8: Path) -> None:
    build = engine_factory(EngineOptions())

    def on_two_devices(manifest: Manifest, graph: bytes, *, private: bool = False):  # type: ignore[no-untyped-def]
        engine = build(manifest, graph, private=private)
        engine.providers = (CPU, CUDA)  # type: ignore[misc]  # one device fell back, the other did not
        return engine

    bundle = load_bundle(fast_int8, TrustStore(install.home.trust_dir))
    with pytest.raises(VariantRefused, match=f"found {CPU}, {CUDA}"):
        load_model(bundle, "default", "c.onsight", on_two_devices, ImageLimits(), VariantPolicy("int8"))
    model = load_model(bundle, "default", "c.onsight", on_two_devices, ImageLimits(), AUTO)
    assert model.variant.precision == "fp32"


def test_a_variant_that_was_noted_and_does_not_run_here_any_more_leaves_full_precision_serving(
    install: Install, fast_int8: Path, tmp_path: Path
) -> None:
    policy = VariantPolicy("auto", tmp_path)
    assert precision_of(install, fast_int8, policy) == "int8"
    build = engine_factory(EngineOptions())

    def on_a_gpu(manifest: Manifest, graph: bytes, *, private: bool = False):  # type: ignore[no-untyped-def]
        engine = build(manifest, graph, private=private)
        engine.providers = (CUDA, CPU)  # type: ignore[misc]
        return engine

    bundle = load_bundle(fast_int8, TrustStore(install.home.trust_dir))
    model = load_model(bundle, "default", "c.onsight", on_a_gpu, ImageLimits(), policy)
    assert model.variant.precision == "fp32"
    assert (tmp_path / bundle.manifest_sha256).read_text() == "fp32"


def test_its_own_golden_answers_hold_within_the_tolerance_of_the_certificate(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    slow = slow_graph(0.04)
    model = load(install, add_bundle(install, full=slow, golden_shift=0.015), AUTO)
    assert model.variant.name == "int8"
    assert model.golden_difference == pytest.approx(0.015, abs=1e-4)
    caplog.clear()
    assert precision_of(install, add_bundle(install, full=slow, golden_shift=0.03), AUTO) == "fp32"
    assert "variant does not serve" in caplog.messages


def test_processes_of_one_server_follow_the_first_that_measured(
    install: Install, fast_int8: Path, tmp_path: Path
) -> None:
    policy = VariantPolicy("auto", tmp_path)
    note = tmp_path / load_bundle(fast_int8, TrustStore(install.home.trust_dir)).manifest_sha256
    assert precision_of(install, fast_int8, policy) == "int8"
    assert note.read_text() == "int8"
    note.write_text("fp32")
    assert precision_of(install, fast_int8, policy) == "fp32"
    note.write_text("int3")  # nobody's: measured anew
    assert precision_of(install, fast_int8, policy) == "int8"
    gone = VariantPolicy("auto", tmp_path / "gone")
    assert precision_of(install, fast_int8, gone) == "int8"


def test_the_engine_that_lost_is_closed(install: Install, fast_int8: Path) -> None:
    build, opened, closed = engine_factory(EngineOptions()), [], []

    def watched(manifest: Manifest, graph: bytes, *, private: bool = False):  # type: ignore[no-untyped-def]
        engine = build(manifest, graph, private=private)
        close, digest = engine.close, hashlib.sha256(graph).hexdigest()
        opened.append(digest)
        engine.close = lambda: (closed.append(digest), close())  # type: ignore[method-assign]
        return engine

    bundle = load_bundle(fast_int8, TrustStore(install.home.trust_dir))
    model = load_model(bundle, "default", "colours.onsight", watched, ImageLimits(), AUTO)
    assert opened == [hashlib.sha256(bundle.files[name]).hexdigest() for name in ("model.onnx", "model.int8.onnx")]
    assert closed == opened[:1]
    model.engine.close()


def test_engines_are_timed_in_turns_on_the_same_image(install: Install) -> None:
    asked: list[str] = []

    class Asked:
        def __init__(self, name: str) -> None:
            self.name = name

        def infer(self, images: np.ndarray) -> None:
            asked.append(self.name)

    times_ms = time_engines({"a": Asked("a"), "b": Asked("b")}, np.zeros((1, 8, 8, 3), np.uint8))  # type: ignore[dict-item]
    assert asked[:4] == ["a", "b", "a", "b"]
    assert set(times_ms) == {"a", "b"}


def test_a_bundle_that_the_setting_refuses_is_among_the_failures(install: Install) -> None:
    add_bundle(install, FAILED)
    registry = Registry()
    build = engine_factory(EngineOptions())
    policy = VariantPolicy("int8")
    Keeper(install.models, install.home.trust_dir, registry, build, ImageLimits(), policy=policy).look()
    assert [failure.code for failure in registry.failures] == ["ENGINE_VARIANT"]
    assert not registry.models


@pytest.mark.slow
@pytest.mark.parametrize("arrangement", ["in_process", "engine_process"])
def test_a_server_of_two_workers_serves_one_form_and_says_which(
    arrangement: str, install: Install, fast_int8: Path, serve: Callable[..., RunningServer]
) -> None:
    token = install.add_token("all", Scope.PREDICT, Scope.METRICS)
    server = serve(workers="2", arrangement=arrangement, log_format="json")
    ready = server.wait_for_status(200, 60).json
    assert [model["precision"] for model in ready["models"]] == ["int8"]
    for _ in range(8):  # either worker
        (model,) = server.ask("GET", "/v1/models", token=token).json["models"]
        assert model["precision"] == "int8"
        assert server.ask("POST", "/api/predict/default/colours", RED, token).json[0]["label"] == "red"
    assert 'precision="int8"' in server.ask("GET", "/metrics", token=token).body.decode()
    assert server.log.count('"variant chosen"') == 1


@pytest.mark.slow
def test_a_server_that_is_told_to_stays_in_full_precision(
    install: Install, fast_int8: Path, serve: Callable[..., RunningServer]
) -> None:
    server = serve(precision="fp32")
    assert [model["precision"] for model in server.wait_for_status(200, 60).json["models"]] == ["fp32"]
