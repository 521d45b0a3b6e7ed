"""Whatever form a foreign graph has, its bundle answers as it does, or it is refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from exporting import refused
from foreign_models import EDGE, LABELS, Pixels, bundle_answers, classifier, original_answers
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from onsight_process import Onsight

from bundle.archive import read_archive
from bundle.decide import probabilities_from_logits
from bundle.keys import SigningKey
from bundle.manifest import Task
from bundle.preprocess import preprocess
from exporter.errors import ExportError
from exporter.importing.make import import_model
from exporter.importing.preprocessing import PRESETS, Preprocessing
from exporter.importing.proof_images import generated_files
from exporter.parity import cpu_infer

FORMS = {
    "float NCHW logits": ({}, "imagenet", Task.SINGLE_LABEL, 1e-5),
    "float NHWC logits": ({"layout": "nhwc"}, "imagenet", Task.SINGLE_LABEL, 1e-5),
    "blue first": ({}, "bgr-caffe", Task.SINGLE_LABEL, 1e-5),
    "Softmax": ({"end": "Softmax"}, "inception", Task.SINGLE_LABEL, 1e-5),
    "Softmax by hand": ({"end": "Softmax by hand"}, "unit", Task.SINGLE_LABEL, 1e-5),
    "Sigmoid": ({"end": "Sigmoid"}, "clip", Task.MULTI_LABEL, 1e-5),
    "batch of one": ({"batch": 1}, "imagenet", Task.SINGLE_LABEL, 1e-5),
    "batch of one in a Reshape": ({"batch": 1, "reshape": [1, -1]}, "imagenet", Task.SINGLE_LABEL, 1e-5),
    "batch of four in a Reshape": ({"batch": 4, "reshape": [4, 8]}, "imagenet", Task.SINGLE_LABEL, 1e-5),
    "batch of one, and a weight in a Reshape": ({"batch": 1, "bias": True}, "unit", Task.SINGLE_LABEL, 1e-5),
    "float16": ({"dtype": TensorProto.FLOAT16}, "unit", Task.SINGLE_LABEL, 1e-2),
    "float16 Softmax": ({"dtype": TensorProto.FLOAT16, "end": "Softmax"}, "unit", Task.SINGLE_LABEL, 1e-2),
    "float16 Sigmoid": ({"dtype": TensorProto.FLOAT16, "end": "Sigmoid"}, "unit", Task.MULTI_LABEL, 1e-2),
    "uint8 NHWC": ({"dtype": TensorProto.UINT8, "layout": "nhwc"}, None, Task.SINGLE_LABEL, 1e-5),
    "uint8 NCHW": ({"dtype": TensorProto.UINT8}, "raw-0-255", Task.SINGLE_LABEL, 1e-5),
}


@pytest.fixture
def one_label(tmp_path: Path) -> Path:
    path = tmp_path / "one.txt"
    path.write_text("scratch\n")
    return path


@pytest.mark.parametrize("form", FORMS)
def test_a_graph_of_any_form_answers_in_its_bundle_as_it_does_alone(
    form: str, tmp_path: Path, labels: Path, maker_key: SigningKey
) -> None:
    made_as, preset, task, tolerance = FORMS[form]
    source = classifier(tmp_path / "m.onnx", **made_as)
    prepared = PRESETS[preset] if preset else PRESETS["raw-0-255"]
    made = import_model(
        source, tmp_path / "m.onsight", maker_key, labels=labels, preprocessing=PRESETS[preset] if preset else None
    )
    manifest = made.manifest
    assert (manifest.task, manifest.labels) == (task, LABELS)
    assert manifest.thresholds == ((0.5,) * 3 if task is Task.MULTI_LABEL else (0.0,) * 3)
    parity = manifest.variants[0].parity
    assert (parity.images, parity.batch_sizes, parity.tolerance) == (32, (1, 2, 7, 32), tolerance)
    assert manifest.imported is not None
    assert manifest.imported.proof_images == "generated"
    if isinstance(made_as.get("batch"), int):
        return  # the original takes that batch alone; the proof above has compared them
    dtype = {TensorProto.FLOAT16: "float16", TensorProto.UINT8: "uint8"}.get(made_as.get("dtype"), "float32")
    expected = original_answers(source, prepared, made_as.get("layout", "nchw"), dtype)
    probabilities, logits = bundle_answers(made, prepared)
    if made_as.get("end"):
        assert manifest.imported.output == "probabilities"
        np.testing.assert_allclose(probabilities, expected, atol=tolerance)
    else:
        assert manifest.imported.output == "logits"
        np.testing.assert_allclose(probabilities, probabilities_from_logits(expected, task), atol=tolerance)
        np.testing.assert_allclose(logits, expected, rtol=1e-2 if dtype == "float16" else 1e-4, atol=tolerance)


def test_an_output_is_what_the_user_says_it_is(tmp_path: Path, labels: Path, maker_key: SigningKey) -> None:
    source = classifier(tmp_path / "m.onnx", end="Softmax")
    unit = PRESETS["unit"]
    made = import_model(
        source, tmp_path / "m.onsight", maker_key, labels=labels, preprocessing=unit, output="logits"
    )  # fmt: skip
    np.testing.assert_allclose(bundle_answers(made, unit)[1], original_answers(source, unit, "nchw", "float32"), 1e-5)


def test_a_log_softmax_head_gives_logits_and_one_label(tmp_path: Path, labels: Path, maker_key: SigningKey) -> None:
    source, unit, out = classifier(tmp_path / "m.onnx", end="LogSoftmax"), PRESETS["unit"], tmp_path / "m.onsight"
    made = import_model(source, out, maker_key, labels=labels, preprocessing=unit)
    assert made.manifest.imported is not None
    assert (made.manifest.imported.output, made.output_found) == ("logits", "a LogSoftmax at the end")
    expected = original_answers(source, unit, "nchw", "float32")
    probabilities, logits = bundle_answers(made, unit)
    np.testing.assert_allclose(probabilities, np.exp(expected), atol=1e-5)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    with refused(ExportError, "expected a multi_label model as --task says, found a single_label one", out):
        import_model(source, out, maker_key, labels=labels, preprocessing=unit, task=Task.MULTI_LABEL)
    with refused(ExportError, "expected probabilities, as --output says, found values from -", out):
        import_model(source, out, maker_key, labels=labels, preprocessing=unit, output="probabilities")


@pytest.mark.parametrize("task", [None, Task.MULTI_LABEL])
def test_one_plain_output_is_one_label_present_or_not(
    task: Task | None, tmp_path: Path, one_label: Path, maker_key: SigningKey
) -> None:
    source, unit = classifier(tmp_path / "m.onnx", outputs=1), PRESETS["unit"]
    made = import_model(
        source, tmp_path / "m.onsight", maker_key, labels=one_label, preprocessing=unit, task=task
    )  # fmt: skip
    assert (made.manifest.task, made.manifest.thresholds) == (Task.MULTI_LABEL, (0.5,))
    assert any(note.startswith("one output is one label") for note in made.notes) == (task is None)
    probabilities, logits = bundle_answers(made, unit)
    assert np.ptp(probabilities) > 1e-3  # not the same of every image
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), atol=1e-6)


@pytest.mark.parametrize(
    ("end", "options", "match"),
    [
        ("Softmax", {}, "found one, with a Softmax at the end, which is 100 % whatever"),
        ("Softmax", {"output": "logits"}, "found one, with a Softmax at the end"),
        ("LogSoftmax", {"task": Task.MULTI_LABEL}, "found one, with a LogSoftmax at the end"),
        (None, {"task": Task.SINGLE_LABEL}, "found one, which is 100 % .* Leave --task out"),
        ("Sigmoid", {"task": Task.SINGLE_LABEL}, "found one, which is 100 % .* Leave --task out"),
    ],
)
def test_one_output_of_a_single_label_model_is_refused(
    end: str | None, options: dict[str, Any], match: str, tmp_path: Path, one_label: Path, maker_key: SigningKey
) -> None:
    source, out = classifier(tmp_path / "m.onnx", outputs=1, end=end), tmp_path / "m.onsight"
    with refused(ExportError, match, out):
        import_model(source, out, maker_key, labels=one_label, preprocessing=PRESETS["unit"], **options)


def test_of_several_outputs_the_one_that_is_named_is_served(tmp_path: Path, labels: Path, onsight: Onsight) -> None:
    source = classifier(tmp_path / "m.onnx", beside=True)
    command = ("import", source, "--labels", labels, "--preprocessing", "unit", "--out", "m.onsight")
    assert "one output of scores (batch, labels), found features, scores. Name it" in onsight(*command).error
    assert onsight(*command, "--output-name", "scores").code == 0
    wrong = onsight(*command, "--output-name", "features")
    assert "labels: expected 8, one an output, found 3" in wrong.error
    unit = PRESETS["unit"]
    infer = cpu_infer(read_archive(tmp_path / "m.onsight")["model.onnx"])
    pixels = np.stack([preprocess(data, unit.spec(EDGE, EDGE)) for data in generated_files(8)])
    alone = classifier(tmp_path / "alone.onnx")
    np.testing.assert_allclose(infer(pixels)[1], original_answers(alone, unit, "nchw", "float32"), atol=1e-4)


@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator])
@pytest.mark.parametrize("preset", ["inception", "imagenet"])
def test_a_quantised_graph_answers_in_its_bundle_to_the_step_as_it_does_alone(
    preset: str, form: QuantFormat, tmp_path: Path, labels: Path, maker_key: SigningKey
) -> None:
    """Half of the pixels lie between two of its steps: the last bit of a value decides."""
    prepared = PRESETS[preset]
    quantize_static(
        str(classifier(tmp_path / "floats.onnx")), str(tmp_path / "m.onnx"), Pixels(prepared), quant_format=form,
        per_channel=True, weight_type=QuantType.QInt8,
    )  # fmt: skip
    made = import_model(
        tmp_path / "m.onnx", tmp_path / "m.onsight", maker_key, labels=labels, preprocessing=prepared
    )  # fmt: skip
    parity = made.manifest.variants[0].parity
    assert (parity.tolerance, parity.decisions_flipped) == (1e-5, 0)
    assert any(note.startswith("the model is quantised") for note in made.notes)
    kinds = {node.op_type for node in onnx.load_from_string(read_archive(made.path)["model.onnx"]).graph.node}
    assert kinds & {"DequantizeLinear", "QLinearConv"}
    assert np.ptp(bundle_answers(made, prepared)[1], axis=0).max() > 0.1  # it tells images apart


def test_values_by_the_graphs_arithmetic_are_those_of_the_formula() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    for prepared in PRESETS.values():
        exact = prepared.values(pixels)
        np.testing.assert_allclose(prepared.values_in_graph(pixels), exact, atol=1e-6 * np.abs(exact).max())


def test_a_graph_that_rounds_by_the_whole_batch_is_refused(tmp_path: Path, labels: Path, maker_key: SigningKey) -> None:
    quantize_dynamic(str(classifier(tmp_path / "floats.onnx")), str(tmp_path / "m.onnx"))
    with refused(ExportError, "depends on one image alone, found DynamicQuantizeLinear", tmp_path / "m.onsight"):
        import_model(
            tmp_path / "m.onnx", tmp_path / "m.onsight", maker_key, labels=labels, preprocessing=PRESETS["unit"]
        )


@pytest.mark.parametrize("end", [None, "Softmax", "Sigmoid"])
@pytest.mark.parametrize(("value", "named"), [(np.nan, "NaN"), (np.inf, "NaN and infinity|infinity|NaN")])
def test_a_model_that_answers_no_number_is_called_so(
    value: float, named: str, end: str | None, tmp_path: Path, labels: Path, maker_key: SigningKey
) -> None:
    model = onnx.load(classifier(tmp_path / "m.onnx", end=end))
    (product,) = (tensor for tensor in model.graph.initializer if tensor.name == "product")
    product.CopyFrom(numpy_helper.from_array(np.full((8, 3), value, np.float32), "product"))
    onnx.save(model, tmp_path / "m.onnx")
    out = tmp_path / "m.onsight"
    with refused(ExportError, rf"m\.onnx: expected a number for each label, found ({named}) for \d+ of 32 images", out):
        import_model(tmp_path / "m.onnx", out, maker_key, labels=labels, preprocessing=PRESETS["unit"])


NO_MODELS = {
    "empty": (0, b"", "found an empty file"),
    "missing": (None, b"", "found No such file or directory"),
    "too large": (2_200_000_000, b"", r"at most 2 GiB, weights included .*, found 2\.05 GiB"),
    "damaged": (64, b"onnx", "found another or a damaged file"),
    "without a graph": (2, b"\x08\x08", "found a file without a graph"),
}


@pytest.mark.parametrize("case", NO_MODELS)
def test_a_file_that_is_no_model_is_called_what_it_is(
    case: str, tmp_path: Path, labels: Path, maker_key: SigningKey
) -> None:
    size, begin, match = NO_MODELS[case]
    source, out = tmp_path / "m.onnx", tmp_path / "out" / "m.onsight"
    out.parent.mkdir()
    if size is not None:
        with source.open("wb") as file:
            file.write(begin)
            file.truncate(size)  # takes no room on the disk
    with refused(ExportError, rf"m\.onnx: expected .*{match}", out):
        import_model(source, out, maker_key, labels=labels, preprocessing=PRESETS["unit"])


def test_half_precision_that_is_too_large_once_it_is_widened_is_refused_before_it_is_read(
    tmp_path: Path, labels: Path, maker_key: SigningKey
) -> None:
    model = onnx.load(classifier(tmp_path / "m.onnx", dtype=TensorProto.FLOAT16))
    tensor = TensorProto(
        name="wide", data_type=TensorProto.FLOAT16, dims=[600, 1_000_000], data_location=TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value="wide.bin")
    model.graph.initializer.append(tensor)
    onnx.save(model, tmp_path / "m.onnx")
    with (tmp_path / "wide.bin").open("wb") as file:
        file.truncate(1_200_000_000)  # takes no room on the disk
    out = tmp_path / "out" / "m.onsight"
    out.parent.mkdir()
    with refused(ExportError, r"at most 2 GiB, weights included and in full precision, found 2\.24 GiB", out):
        import_model(tmp_path / "m.onnx", out, maker_key, labels=labels, preprocessing=PRESETS["unit"])


REFUSALS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no preprocessing": ({}, {"preprocessing": None}, "how its float32 pixels are prepared.* imagenet"),
    "custom operators": ({"domain": "maker.ops"}, {}, "standard ONNX operators, found maker.ops.Conv"),
    "grey-scale": ({"channels": 1}, {}, "expected 3 colour channels, found"),
    "normalised uint8": ({"dtype": TensorProto.UINT8}, {}, "is uint8 and takes pixels as they are"),
    "another size": ({}, {"preprocessing": Preprocessing(height=32, width=32)}, "the height of the preprocessing, 32"),
    "no size": ({"edge": "e"}, {"preprocessing": Preprocessing()}, "takes any height"),
    "batch built in": ({"batch": 1, "token": True}, {}, "batch is fixed at 1, and built in too deep .* dynamic batch"),
    "another task": ({"end": "Softmax"}, {"task": Task.MULTI_LABEL}, "expected a multi_label model as --task says"),
    "no such output": ({}, {"output_name": "heat"}, "expected an output 'heat', found scores"),
    "a bad name": ({}, {"name": "a/b"}, "model name"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_served_is_refused_and_nothing_written(
    case: str, tmp_path: Path, labels: Path, maker_key: SigningKey
) -> None:
    made_as, options, match = REFUSALS[case]
    source = classifier(tmp_path / "m.onnx", **made_as)
    out = tmp_path / "m.onsight"
    with refused(ExportError, match, out):
        import_model(source, out, maker_key, **{"labels": labels, "preprocessing": PRESETS["imagenet"], **options})
