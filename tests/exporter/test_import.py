"""Foreign models become bundles: the same answers as the original's, whatever its form, or a refusal that says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from exporting import refused
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onsight_process import Onsight
from onsight_server import onsight_serve
from tiny_runs import EXPORTED_AT, write_class_folders

from bundle.archive import read_archive
from bundle.decide import probabilities_from_logits
from bundle.keys import SigningKey
from bundle.manifest import Task, parse_manifest
from bundle.preprocess import preprocess
from exporter.errors import ExportError
from exporter.importing.make import ImportedModel, import_model
from exporter.importing.preprocessing import PRESETS, Preprocessing, read_preprocessing
from exporter.importing.proof_images import generated_files
from exporter.parity import cpu_infer

EDGE = 16
LABELS = ("blue", "grün", "red, dark")
MOBILENET = Path(__file__).resolve().parents[3] / "shared" / "data" / "weights" / "mobilenet_v2_imagenet"


def classifier(
    path: Path,
    *,
    layout: str = "nchw",
    dtype: int = TensorProto.FLOAT,
    batch: int | str = "n",
    end: str | None = None,
    edge: int | str = EDGE,
    reshape: list[int] | None = None,
    domain: str = "",
    channels: int = 3,
    token: bool = False,
) -> Path:
    """A convolution, a pooling, a matrix product: what classifiers are made of, in the form that is asked for."""
    random = np.random.default_rng(5)
    half = dtype == TensorProto.FLOAT16
    kind = np.float16 if half else np.float32
    weights = {
        "kernel": random.normal(0, 0.3, (8, channels, 3, 3)).astype(kind),
        "product": random.normal(0, 1.0, (8, 3)).astype(kind),
    }
    shape = [batch, channels, edge, edge] if layout == "nchw" else [batch, edge, edge, channels]
    nodes, last = [], "images"  # a name that is also one of ours
    if dtype == TensorProto.UINT8:
        nodes += [
            helper.make_node("Cast", [last], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["floats", "full"], ["scaled"]),
        ]
        weights["full"] = np.array(255, np.float32)
        last = "scaled"
    if layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [last], ["planes"], perm=[0, 3, 1, 2]))
        last = "planes"
    nodes += [
        helper.make_node("Conv", [last, "kernel"], ["convolved"], domain=domain),
        helper.make_node("Relu", ["convolved"], ["bent"]),
        helper.make_node("GlobalMaxPool", ["bent"], ["pooled"]),
    ]
    if reshape is None:
        nodes.append(helper.make_node("Flatten", ["pooled"], ["features"]))
    else:
        weights["shape"] = np.array(reshape, np.int64)
        nodes.append(helper.make_node("Reshape", ["pooled", "shape"], ["features"]))
    if token:  # laid out for one image, as a class token is by an export with a fixed batch
        weights |= {"token": np.ones((1, 8), kind), "product": random.normal(0, 1.0, (16, 3)).astype(kind)}
        nodes.append(helper.make_node("Concat", ["features", "token"], ["joined"], axis=1))
    nodes.append(helper.make_node("MatMul", ["joined" if token else "features", "product"], ["scores"]))
    out = "scores"
    if end == "Softmax by hand":
        nodes += [
            helper.make_node("Exp", ["scores"], ["powers"]),
            helper.make_node("ReduceSum", ["powers", "axes"], ["sum"], keepdims=1),
            helper.make_node("Div", ["powers", "sum"], ["logits"]),
        ]
        weights["axes"] = np.array([1], np.int64)
        out = "logits"
    elif end is not None:
        nodes.append(helper.make_node(end, ["scores"], ["logits"]))
        out = "logits"
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("images", dtype, shape)],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT16 if half else TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    return path


def original_answers(path: Path, prepared: Preprocessing, layout: str, dtype: str) -> NDArray[Any]:
    """What ONNX Runtime says of the generated images, one at a time, from the file as it is."""
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    answers = []
    for data in generated_files(8):
        pixels = preprocess(data, prepared.spec(EDGE, EDGE))[None].astype(np.float64)
        if prepared.channels == "bgr":
            pixels = pixels[..., ::-1]
        values = (pixels * prepared.scale - np.asarray(prepared.mean)) / np.asarray(prepared.std)
        values = values.transpose(0, 3, 1, 2) if layout == "nchw" else values
        answers.append(session.run(None, {"images": np.ascontiguousarray(values.astype(dtype))})[0])
    return np.concatenate(answers).astype(np.float32)


def bundle_answers(made: ImportedModel, spec_of: Preprocessing) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    files = read_archive(made.path)
    assert parse_manifest(files["manifest.json"]) == made.manifest
    infer = cpu_infer(files["model.onnx"])
    return infer(np.stack([preprocess(data, spec_of.spec(EDGE, EDGE)) for data in generated_files(8)]))


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
    "float16": ({"dtype": TensorProto.FLOAT16}, "unit", Task.SINGLE_LABEL, 1e-2),
    "uint8 NHWC": ({"dtype": TensorProto.UINT8, "layout": "nhwc"}, None, Task.SINGLE_LABEL, 1e-5),
    "uint8 NCHW": ({"dtype": TensorProto.UINT8}, "raw-0-255", Task.SINGLE_LABEL, 1e-5),
}


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


def test_the_same_model_gives_the_same_graph(tmp_path: Path, labels: Path, maker_key: SigningKey) -> None:
    source = classifier(tmp_path / "m.onnx")
    made = [
        import_model(
            source, tmp_path / f"{n}.onsight", maker_key, labels=labels, preprocessing=PRESETS["unit"], name="m",
            now=EXPORTED_AT,
        )
        for n in range(2)
    ]  # fmt: skip
    assert made[0].path.read_bytes() == made[1].path.read_bytes()


def test_weights_beside_the_file_are_taken_in_and_missed_where_absent(
    tmp_path: Path, labels: Path, maker_key: SigningKey
) -> None:
    model = onnx.load(classifier(tmp_path / "m.onnx"))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    out, unit = tmp_path / "m.onsight", PRESETS["unit"]
    made = import_model(tmp_path / "m.onnx", out, maker_key, labels=labels, preprocessing=unit)
    assert bundle_answers(made, unit)[0].shape == (8, 3)
    (tmp_path / "m.bin").unlink()
    with refused(ExportError, r"external weights \(m.bin\) beside it", out):
        import_model(tmp_path / "m.onnx", out, maker_key, labels=labels, preprocessing=unit)


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


def test_labels_must_be_as_many_as_outputs(tmp_path: Path, maker_key: SigningKey) -> None:
    source, out = classifier(tmp_path / "m.onnx"), tmp_path / "m.onsight"
    for text, match in (("a\nb\n", "expected 3, one an output, found 2"), ("a\n\nc\n", "an empty one for 1")):
        (tmp_path / "l.txt").write_text(text)
        with refused(ExportError, match, out):
            import_model(source, out, maker_key, labels=tmp_path / "l.txt", preprocessing=PRESETS["unit"])
    with refused(ExportError, "expected --labels", out):
        import_model(source, out, maker_key, preprocessing=PRESETS["unit"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.json", '["a", "b", "a"]'),
        ("l.json", '{"0": "a", "2": "a", "1": "b"}'),
        ("l.json", '{"id2label": {"0": "a", "1": "b", "2": "a"}}'),
        ("l.csv", "id,label\n0,a\n2,a\n1,b\n"),
        ("l.csv", "label\na\nb\na\n"),
        ("l.txt", "a\r\nb\r\na\r\n\r\n"),
    ],
)
def test_labels_are_read_from_any_of_their_files_and_doubles_told_apart(
    name: str, text: str, tmp_path: Path, maker_key: SigningKey
) -> None:
    (tmp_path / name).write_text(text)
    made = import_model(
        classifier(tmp_path / "m.onnx"), tmp_path / "m.onsight", maker_key, labels=tmp_path / name,
        preprocessing=PRESETS["unit"],
    )  # fmt: skip
    assert made.manifest.labels == ("a", "b", "a (2)")
    assert any("'a' stands at 0 and 2" in note for note in made.notes)


@pytest.mark.parametrize(
    ("document", "match"),
    [
        ({"maen": [0, 0, 0]}, "maen: Extra inputs"),
        ({"std": [1, 0, 1]}, r"std\.1: Input should be greater than 0"),
        ({"preset": "vgg"}, "preset: expected one of imagenet"),
        ({"size": 64, "height": 64}, "either size, or height and width"),
        ({"crop_fraction": 0.5}, "which crops nothing"),
        ([1], "expected a JSON object"),
    ],
)
def test_a_wrong_field_of_preprocessing_is_named(document: object, match: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps(document))
    with pytest.raises(ExportError, match=match):
        read_preprocessing(str(tmp_path / "p.json"))


def test_a_preset_may_be_changed_in_part(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"preset": "imagenet", "size": 64, "crop_fraction": 1.0}')
    found = read_preprocessing(str(tmp_path / "p.json"))
    assert found == PRESETS["imagenet"].model_copy(update={"height": 64, "width": 64, "crop_fraction": 1.0})


def test_the_command_measures_says_what_it_found_and_the_server_answers(
    onsight: Onsight, tmp_path: Path, labels: Path
) -> None:
    source = classifier(tmp_path / "m.onnx")
    photos = write_class_folders(tmp_path / "photos", 4)
    out = tmp_path / "models" / "pretrained" / "shapes.onsight"
    arguments = (source, "--labels", labels, "--preprocessing", "unit", "--test", photos, "--out", out)
    done = onsight("import", *arguments)
    assert done.code == 0, done.stderr
    assert "its output is logits (no Softmax or Sigmoid at the end)" in done.stdout
    assert "proven against the original on 12 real images" in done.stdout
    assert "accuracy" in done.stdout
    card = read_archive(out)["card.md"].decode()
    assert "imported from an ONNX file" in card
    assert "On 12 test images" in card
    found = onsight("predict", out, photos, "--json")
    assert found.code == 0, found.stderr
    assert onsight("import", *arguments, "--json").json["imported"]["proof_images"] == "real"


@pytest.mark.slow
def test_a_transformers_folder_and_its_onnx_form_give_equal_answers(tmp_path: Path, maker_key: SigningKey) -> None:
    import torch
    from transformers import ResNetConfig, ResNetForImageClassification

    from trainer.onnx_graph import export_onnx

    torch.manual_seed(3)
    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=3,
        id2label=dict(enumerate(LABELS)),
    )  # fmt: skip
    folder = tmp_path / "resnet"
    model = ResNetForImageClassification(config).eval()
    model.save_pretrained(folder)
    processor = {
        "image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}, "resample": 3,
        "do_normalize": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4],
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    first = import_model(folder, tmp_path / "a.onsight", maker_key)
    assert first.manifest.labels == LABELS
    assert any("bicubic" in note for note in first.notes)

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.model(pixel_values=pixels).logits

    (tmp_path / "m.onnx").write_bytes(
        export_onnx(Logits(), torch.zeros(2, 3, 32, 32), input_name="pixels", output_names=["scores"])
    )
    (tmp_path / "l.json").write_text(json.dumps(LABELS))
    given = Preprocessing(scale=1 / 255, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    second = import_model(
        tmp_path / "m.onnx", tmp_path / "b.onsight", maker_key, labels=tmp_path / "l.json", preprocessing=given
    )
    images = np.stack([preprocess(data, first.manifest.preprocessing) for data in generated_files(8)])
    answers = [cpu_infer(read_archive(made.path)["model.onnx"])(images) for made in (first, second)]
    for found, expected in zip(*answers, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)

    processor |= {"size": {"shortest_edge": 32}, "do_center_crop": False, "image_processor_type": "CLIPImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    with refused(ExportError, "keep their aspect ratio and are not cropped", tmp_path / "c.onsight"):
        import_model(folder, tmp_path / "c.onsight", maker_key)


@pytest.mark.slow
@pytest.mark.skipif(not MOBILENET.is_dir(), reason="the shared MobileNetV2 weights are not here")
def test_mobilenet_becomes_general_classification_and_answers(onsight: Onsight, tmp_path: Path) -> None:
    import http.client

    out = tmp_path / "models" / "pretrained" / "General-classification.onsight"
    names = MOBILENET.with_name("imagenet_labels_1000.txt")
    done = onsight("import", MOBILENET, "--labels", names, "--out", out)
    assert done.code == 0, done.stderr
    assert "label 'crane' stands at 134 and 517" in done.stderr
    token = onsight("token", "create", "reader").stdout.split()[-1]
    with onsight_serve(tmp_path / "models", tmp_path / "home") as url:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        connection.request(
            "POST", "/api/pm-predict/General-classification", generated_files(1)[0], {"X-Auth-token": token}
        )
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
    assert response.status == 200, answer
    assert len(answer) == 1000
    assert {each["label"] for each in answer} >= {"crane", "crane (2)", "water bottle"}
