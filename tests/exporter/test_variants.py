"""The int8 variant: made alike every time, measured on held-out images, certified or left out with the reason."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from exporting import export_elsewhere, refused
from onsight_process import Onsight
from tiny_runs import EXPORTED_AT, TinyRun, write_class_folders

from bundle.archive import read_archive
from bundle.decide import decide
from bundle.golden import Golden, Infer, replay_golden
from bundle.home import OnsightHome
from bundle.keys import SigningKey
from bundle.manifest import Certificate, GateLimits, Task, parse_manifest
from bundle.preprocess import preprocess
from exporter.errors import ExportError
from exporter.export import Exported, export_run
from exporter.parity import cpu_infer
from exporter.variants.gate import HeldOut, golden_tolerance, measure
from exporter.variants.int8 import quantize_int8
from exporter.variants.make import RECIPES, Material
from trainer.data.split import Split
from trainer.statistics import Statistics, models_from_json

BOTH = ("fp32", "int8")
EXPORTS = ["int8_bundle", pytest.param("multi_int8_bundle", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def int8_bundle(single_run: TinyRun, maker_key: SigningKey, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    out = tmp_path_factory.mktemp("variants") / "shapes.onsight"
    return export_run(single_run.run, out, maker_key, variants=BOTH, now=EXPORTED_AT)


@pytest.fixture(scope="module")
def multi_int8_bundle(multi_run: TinyRun, maker_key: SigningKey, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_run(multi_run.run, tmp_path_factory.mktemp("several") / "m.onsight", maker_key, variants=BOTH)


@pytest.fixture(scope="module")
def certificate(int8_bundle: Exported) -> Certificate:
    found = int8_bundle.manifest.variants[1].certificate
    assert found is not None
    return found


@pytest.mark.parametrize("name", EXPORTS)
def test_a_variant_that_passes_is_certified_with_what_it_answers(name: str, request: pytest.FixtureRequest) -> None:
    """The certificate's figures, counted once more from the two graphs in the bundle."""
    exported: Exported = request.getfixturevalue(name)
    tiny: TinyRun = request.getfixturevalue("single_run" if name == "int8_bundle" else "multi_run")
    manifest, files = exported.manifest, read_archive(exported.path)
    full, int8 = manifest.variants
    certificate = int8.certificate
    assert certificate is not None
    assert (full.may_serve, int8.may_serve, exported.left_out) == (True, True, ())
    assert (full.precision, int8.precision, int8.file) == ("fp32", "int8", "model.int8.onnx")
    assert certificate.split == "test"

    snapshot = tiny.run.snapshot()
    rows = snapshot.rows(Split.TEST)
    images = [preprocess((tiny.images / snapshot.paths[row]).read_bytes(), manifest.preprocessing) for row in rows]
    answers = {}
    for variant in (full, int8):
        infer = cpu_infer(files[variant.file])
        answers[variant.name] = [tuple(part[0] for part in infer(image[None])) for image in images]
    decisions = {name: [decide(manifest, *answer) for answer in found] for name, found in answers.items()}
    probabilities = {name: np.stack([answer[0] for answer in found]) for name, found in answers.items()}
    assert certificate.images == len(images)
    assert certificate.max_difference == pytest.approx(
        np.abs(probabilities["fp32"] - probabilities["int8"]).max(), abs=1e-4
    )
    pairs = list(zip(decisions["fp32"], decisions["int8"], strict=True))
    assert certificate.decisions_flipped == sum(
        (set(one.labels), one.unknown) != (set(other.labels), other.unknown) for one, other in pairs
    )
    assert certificate.rejected == pytest.approx(np.mean([one.unknown for one in decisions["int8"]]))
    assert certificate.rejected_full == pytest.approx(np.mean([one.unknown for one in decisions["fp32"]]))
    if manifest.task is Task.SINGLE_LABEL:
        truth = snapshot.label_matrix[rows].argmax(axis=1)
        tops = {name: found.argmax(axis=1) for name, found in probabilities.items()}
        assert certificate.value == pytest.approx((tops["int8"] == truth).mean())
        assert certificate.full == pytest.approx(manifest.metrics["test"]["accuracy"].value, abs=1e-5)
        assert certificate.agreement == pytest.approx((tops["int8"] == tops["fp32"]).mean())
    else:
        assert certificate.full == pytest.approx(manifest.metrics["test"]["mean_average_precision"].value, abs=1e-5)


def test_the_variant_computes_in_integers_and_the_head_in_floats(int8_bundle: Exported) -> None:
    files = read_archive(int8_bundle.path)
    graph = onnx.load_from_string(files["model.int8.onnx"]).graph
    weights = {tensor.name: tensor.data_type for tensor in graph.initializer if tensor.name.endswith("_quantized")}
    assert onnx.TensorProto.INT8 in weights.values()
    assert not any("head" in name for name in weights)
    first = next(node for node in graph.node if node.op_type == "Conv")
    assert first.input[1] not in {output for node in graph.node for output in node.output}  # a float, not dequantised
    assert len(files["model.int8.onnx"]) < len(files["model.onnx"])


def test_seven_bit_weights_cannot_overflow_sixteen_bits(int8_bundle: Exported) -> None:
    """Two u8 x s8 products in 16 bits, as a CPU without VNNI adds them; depthwise kernels add in 32 bits."""
    graph = onnx.load_from_string(read_archive(int8_bundle.path)["model.int8.onnx"]).graph
    seen = 0
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4 and tensor.dims[1] > 1:
            largest = int(np.abs(onnx.numpy_helper.to_array(tensor).astype(np.int32)).max())
            assert 2 * 255 * largest <= 32767
            seen += 1
    assert seen


def test_golden_answers_are_the_variants_own_and_hold(int8_bundle: Exported, certificate: Certificate) -> None:
    manifest, files = int8_bundle.manifest, read_archive(int8_bundle.path)
    full, int8 = (Golden.from_bytes(files[name]) for name in ("golden.npz", "golden.int8.npz"))
    assert full.images == int8.images
    assert not np.array_equal(full.probabilities, int8.probabilities)
    tolerance = certificate.golden_tolerance
    assert replay_golden(int8, manifest, cpu_infer(files["model.int8.onnx"]), tolerance) <= 1e-6
    unfused = cpu_infer(files["model.int8.onnx"], optimise=False)  # other kernels
    assert replay_golden(int8, manifest, unfused, tolerance) <= tolerance


@pytest.mark.parametrize(
    ("kernel_spread", "max_difference", "tolerance"),
    [(0.0, 0.2, 0.01), (0.04, 0.2, 0.08), (0.2, 0.2, 0.2), (0.0, 0.002, 0.002), (0.0, 0.0, 0.001), (0.9, 1.0, 0.25)],
)
def test_the_golden_tolerance_follows_the_kernels_and_never_exceeds_the_variants_own_error(
    kernel_spread: float, max_difference: float, tolerance: float
) -> None:
    assert golden_tolerance(kernel_spread, max_difference) == pytest.approx(tolerance)


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (b"no graph", "ONNX Runtime does not run the graph"),
        (None, "the graph cannot be quantised"),
    ],
)
@pytest.mark.slow
def test_a_variant_that_cannot_be_made_or_run_is_left_out(
    graph: bytes | None, reason: str, single_run: TinyRun, single_bundle: Path, maker_key: SigningKey,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def build(material: Material) -> bytes:
        return quantize_int8(material.graph[:-5000], material.calibration_images()) if graph is None else graph

    monkeypatch.setitem(RECIPES, "int8", replace(RECIPES["int8"], build=build))
    exported = export_run(single_run.run, tmp_path / "shapes.onsight", maker_key, variants=BOTH, now=EXPORTED_AT)
    assert exported.left_out[0].reason.startswith(reason)
    assert "\n" not in exported.left_out[0].reason
    assert exported.path.read_bytes() == single_bundle.read_bytes()


def test_of_a_runtimes_complaint_of_many_lines_the_first_is_the_reason(
    single_run: TinyRun, maker_key: SigningKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_graph: bytes) -> Infer:
        raise RuntimeError("[ONNXRuntimeError] no kernel\n  at line 40 of a file")

    monkeypatch.setitem(RECIPES, "fp16", replace(RECIPES["fp16"], infer=fails))
    exported = export_run(single_run.run, tmp_path / "shapes.onsight", maker_key, variants=["fp16"])
    assert exported.left_out[0].reason == "ONNX Runtime does not run the graph: [ONNXRuntimeError] no kernel"


def test_a_variant_whose_answers_hang_on_the_kernels_is_left_out(
    single_run: TinyRun, single_bundle: Path, maker_key: SigningKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another CPU would not answer as it was measured, and no tolerance could tell it from a broken model."""

    def backwards(graph: bytes) -> Infer:
        infer = cpu_infer(graph, optimise=False)
        return lambda images: (infer(images)[0][:, ::-1], infer(images)[1])

    monkeypatch.setitem(RECIPES, "int8", replace(RECIPES["int8"], other_kernels=backwards))
    exported = export_run(single_run.run, tmp_path / "shapes.onsight", maker_key, variants=BOTH, now=EXPORTED_AT)
    assert "two kinds of kernels to differ by at most 0.25 of a probability" in exported.left_out[0].reason
    assert exported.path.read_bytes() == single_bundle.read_bytes()


def test_a_variant_beyond_the_limits_is_left_out_with_the_figures(
    single_run: TinyRun, single_bundle: Path, maker_key: SigningKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its head's last weights have lost their sign on the way."""

    def broken(material: Material) -> bytes:
        model = onnx.load_from_string(material.graph)
        weight = next(each for each in model.graph.initializer if each.name == "classifier.head.output.weight")
        weight.CopyFrom(onnx.numpy_helper.from_array(np.abs(onnx.numpy_helper.to_array(weight)), weight.name))
        return quantize_int8(model.SerializeToString(), material.calibration_images())

    monkeypatch.setitem(RECIPES, "int8", replace(RECIPES["int8"], build=broken))
    out = tmp_path / "shapes.onsight"
    exported = export_run(single_run.run, out, maker_key, variants=BOTH, now=EXPORTED_AT)
    assert [each.name for each in exported.left_out] == ["int8"]
    assert "on 18 test images accuracy falls by" in exported.left_out[0].reason
    assert out.read_bytes() == single_bundle.read_bytes()  # as if it had not been asked for
    with refused(ExportError, "int8 is left out: on 18 test images .*Nothing was written", out):
        export_run(single_run.run, out, maker_key, variants=BOTH, require_variants=True)


@pytest.mark.slow
def test_the_command_warns_of_a_variant_that_is_left_out_and_succeeds(
    single_run: TinyRun, onsight: Onsight, tmp_path: Path
) -> None:
    options = (
        "export",
        single_run.folder,
        "--out",
        "shapes.onsight",
        "--variants",
        "fp32,int8",
        "--min-agreement",
        "1",
    )
    strict = ("--max-loss", "0")
    images = tmp_path / "few"  # too few test images to measure it on
    images.mkdir()
    snapshot = single_run.run.snapshot()
    for row in [*snapshot.rows(Split.TEST)[:5], *snapshot.rows(Split.TRAIN)]:
        target = images / snapshot.paths[row]
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((single_run.images / snapshot.paths[row]).read_bytes())
    done = onsight(*options, *strict, "--images", images)
    assert done.code == 0, done.stderr
    assert "warning: int8 is left out: expected at least 16 unchanged test images" in done.stderr
    assert "model.int8.onnx" not in read_archive(tmp_path / "shapes.onsight")
    (tmp_path / "shapes.onsight").unlink()
    failed = onsight(*options, *strict, "--images", images, "--require-variants")
    assert failed.code == 1
    assert "int8 is left out" in failed.stderr
    assert not (tmp_path / "shapes.onsight").exists()


def test_a_variant_that_is_not_known_is_refused(single_run: TinyRun, maker_key: SigningKey, tmp_path: Path) -> None:
    with refused(ExportError, "--variants: expected any of fp32, .* found 'int4'", tmp_path / "shapes.onsight"):
        export_run(single_run.run, tmp_path / "shapes.onsight", maker_key, variants=("fp32", "int4"))


@pytest.mark.slow
def test_the_same_run_gives_the_same_variant_in_another_process(
    single_run: TinyRun, int8_bundle: Exported, maker_key: SigningKey, home: OnsightHome, tmp_path: Path
) -> None:
    out = export_elsewhere(single_run.folder, BOTH, maker_key, home, tmp_path)
    assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(int8_bundle.path.read_bytes()).digest()


def test_a_bundle_with_a_variant_holds_no_path_of_the_machine_that_made_it(
    int8_bundle: Exported, single_run: TinyRun
) -> None:
    for name, data in read_archive(int8_bundle.path).items():
        if not name.startswith("golden"):
            for text in (str(single_run.folder.parent), str(Path.home()), "site-packages", os.sep + "tmp" + os.sep):
                assert text.encode() not in data, f"{name} holds {text}"


def test_a_bundle_of_full_precision_says_nothing_that_an_older_reader_does_not_know(single_bundle: Path) -> None:
    document = read_archive(single_bundle)["manifest.json"]
    assert b"certificate" not in document
    assert document.count(b'"golden"') == 1
    manifest = parse_manifest(document)
    assert (manifest.variants[0].certificate, manifest.variants[0].golden) == (None, None)
    assert parse_manifest(manifest.to_bytes()) == manifest


def test_a_manifest_with_a_certificate_survives_the_way_through_bytes(int8_bundle: Exported) -> None:
    manifest = int8_bundle.manifest
    assert parse_manifest(manifest.to_bytes()) == manifest
    card = read_archive(int8_bundle.path)["card.md"].decode()
    certificate = manifest.variants[1].certificate
    assert certificate is not None
    assert f"| agreement | | {certificate.agreement:.4f} | |" in card
    assert f"differs from full precision on {certificate.images} test images" in card


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        ({"full": 0.9, "value": 0.8899, "loss": {"value": 0.0101}}, "accuracy falls by 0.0101"),
        ({"full": 0.9, "value": 0.89, "loss": {"value": 0.01}}, None),
        ({"agreement": 0.969}, "0.9690 of the answers agree (at least 0.97)"),
        ({"agreement": 0.97}, None),
        ({"images": 1000, "rejected": 0.03, "rejected_full": 0.01}, "0.0300 of the images are called unknown"),
        ({"images": 1000, "rejected": 0.01, "rejected_full": 0.03}, "0.0100 of the images are called unknown"),
        ({"images": 20, "rejected": 0.05, "rejected_full": 0.0}, None),  # one image
        ({"images": 20, "rejected": 0.10, "rejected_full": 0.0}, "0.1000 of the images"),
        ({"rejected": None, "rejected_full": None}, None),
    ],
)
def test_what_a_certificate_allows_follows_from_its_figures(
    change: dict[str, object], failure: str | None, certificate: Certificate, int8_bundle: Exported
) -> None:
    found = Certificate.model_validate({**certificate.model_dump(), **change})
    variant = int8_bundle.manifest.variants[1].model_copy(update={"certificate": found})
    assert found.passed is variant.may_serve is (failure is None)
    if failure is not None:
        assert len(found.failures) == 1
        assert failure in found.failures[0]


def test_a_variant_without_a_certificate_may_not_serve(int8_bundle: Exported) -> None:
    assert not int8_bundle.manifest.variants[1].model_copy(update={"certificate": None}).may_serve


def test_the_loss_has_a_paired_interval(single_run: TinyRun) -> None:
    """Of 400 images 8 become wrong and 4 right: 1 point lost, with the binomial spread of 12 changed answers."""
    statistics = statistics_of(single_run)
    truth = np.eye(3, dtype=bool)[np.arange(400) % 3]
    full = np.where(truth, 4.0, 0.0).astype(np.float32)
    full[:4] = full[:4, [1, 2, 0]]  # wrong
    variant = full.copy()
    variant[:4] = np.where(truth[:4], 4.0, 0.0)
    variant[4:12] = variant[4:12, [1, 2, 0]]
    found = measure(HeldOut(Split.TEST, full, variant, truth), Task.SINGLE_LABEL, statistics, GateLimits(), "CPU", 0.0)
    assert found.loss.value == pytest.approx(0.01)
    assert found.agreement == pytest.approx(1 - 12 / 400)
    deviation = np.sqrt(12 / 400 - 0.01**2) / 20
    assert found.loss.low == pytest.approx(0.01 - 1.96 * deviation, abs=0.003)
    assert found.loss.high == pytest.approx(0.01 + 1.96 * deviation, abs=0.003)
    assert found.passed


def test_equal_answers_of_several_labels_lose_nothing(multi_run: TinyRun) -> None:
    statistics = statistics_of(multi_run)
    random = np.random.default_rng(5)
    logits = random.normal(size=(60, 3)).astype(np.float32)
    truth = random.random((60, 3)) < 0.4
    held_out = HeldOut(Split.VALIDATION, logits, logits, truth)
    found = measure(held_out, Task.MULTI_LABEL, statistics, GateLimits(), "CPU", 0.0)
    assert (found.loss.value, found.loss.low, found.loss.high) == (0, 0, 0)
    assert (found.agreement, found.decisions_flipped, found.split) == (1, 0, "validation")
    worse = HeldOut(Split.VALIDATION, logits, -logits, truth)
    assert not measure(worse, Task.MULTI_LABEL, statistics, GateLimits(), "CPU", 0.0).passed


@pytest.fixture
def transformer_run(tmp_path: Path) -> TinyRun:
    import torch
    from transformers import ViTConfig, ViTModel

    from trainer.progress import SilentReporter
    from trainer.recipe import Recipe
    from trainer.train import train

    torch.manual_seed(3)
    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8
    )
    ViTModel(config).save_pretrained(tmp_path / "vit")
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 32, "width": 32}}))
    images = write_class_folders(tmp_path / "images", 12)
    recipe = Recipe(images=str(images), backbone=str(tmp_path / "vit"), epochs=5, hidden_units=8, threads=1)
    train(recipe, tmp_path / "run", tmp_path / "cache", SilentReporter())
    return TinyRun(tmp_path / "run", images)


@pytest.mark.slow
@pytest.mark.parametrize(("run", "kind"), [("backbone_run", "Conv"), ("transformer_run", "MatMul")])
def test_other_networks_in_integers_answer_nearly_as_in_floats(
    run: str, kind: str, request: pytest.FixtureRequest, maker_key: SigningKey, tmp_path: Path
) -> None:
    """A residual network, and a transformer, in which matrix products alone are quantised."""
    tiny: TinyRun = request.getfixturevalue(run)
    exported = export_run(tiny.run, tmp_path / "shapes.onsight", maker_key)
    graph = read_archive(exported.path)["model.onnx"]
    spec = exported.manifest.preprocessing
    images = np.stack([preprocess(path.read_bytes(), spec) for path in sorted(tiny.images.rglob("*.png"))])
    quantized = quantize_int8(graph, images)
    nodes = onnx.load_from_string(quantized).graph.node
    integers = {output for node in nodes if node.op_type == "DequantizeLinear" for output in node.output}
    assert [node for node in nodes if node.op_type == kind and set(node.input) <= integers]
    additions = [node for node in nodes if node.op_type == "Add" and integers.intersection(node.input)]
    assert bool(additions) is (kind == "Conv")
    full, int8 = (cpu_infer(each)(images)[1] for each in (graph, quantized))
    assert not np.array_equal(full, int8)
    assert np.abs(full - int8).mean() < 0.1 * full.std()


def statistics_of(tiny: TinyRun) -> Statistics:
    return models_from_json(tiny.run.statistics_path.read_text())["best"]
