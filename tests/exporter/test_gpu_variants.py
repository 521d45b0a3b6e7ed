"""The forms for GPUs: made alike every time, their graphs as TensorRT and CUDA take them, certified on a CPU."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from exporting import export_elsewhere
from onnx import TensorProto, helper, numpy_helper
from tiny_runs import EXPORTED_AT, TinyRun

from bundle.archive import read_archive
from bundle.golden import Golden, replay_golden
from bundle.home import OnsightHome
from bundle.keys import SigningKey
from bundle.manifest import Variant, parse_manifest
from bundle.runtimes import CPU, CUDA, TENSORRT
from exporter.errors import ExportError
from exporter.export import Exported, export_run
from exporter.parity import cpu_infer
from exporter.variants.fp16 import convert_fp16
from exporter.variants.make import RECIPES
from exporter.variants.names import check_variants
from exporter.variants.rewrite import rewrite

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


@pytest.fixture(scope="module")
def gpu_bundle(single_run: TinyRun, maker_key: SigningKey, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    out = tmp_path_factory.mktemp("gpu") / "shapes.onsight"
    return export_run(single_run.run, out, maker_key, variants=("gpu",), now=EXPORTED_AT)


@pytest.fixture(scope="module")
def files(gpu_bundle: Exported) -> dict[str, bytes]:
    return read_archive(gpu_bundle.path)


def variant_of(exported: Exported, name: str) -> Variant:
    return next(each for each in exported.manifest.variants if each.name == name)


@pytest.mark.parametrize(
    ("name", "precision", "serves_on"),
    [("fp16", "fp16", (CUDA, TENSORRT)), ("int8-tensorrt", "int8", (TENSORRT,))],
)
def test_a_form_for_gpus_says_what_it_is_for_and_that_a_cpu_measured_it(
    name: str, precision: str, serves_on: tuple[str, ...], gpu_bundle: Exported, files: dict[str, bytes]
) -> None:
    assert gpu_bundle.left_out == ()
    variant = variant_of(gpu_bundle, name)
    certificate = variant.certificate
    assert certificate is not None
    assert (variant.precision, variant.serves_on, variant.runtimes) == (precision, serves_on, serves_on)
    assert (certificate.provider, certificate.split, certificate.passed) == (CPU, "test", True)
    assert parse_manifest(gpu_bundle.manifest.to_bytes()) == gpu_bundle.manifest
    golden = Golden.from_bytes(files[variant.golden or ""])
    for kernels in (RECIPES[name].infer, RECIPES[name].other_kernels):
        found = replay_golden(golden, gpu_bundle.manifest, kernels(files[variant.file]), certificate.golden_tolerance)
        assert found <= certificate.golden_tolerance
    full = Golden.from_bytes(files["golden.npz"])
    assert golden.images == full.images
    assert not np.array_equal(golden.logits, full.logits)


def test_a_bundle_for_cpus_names_no_runtimes_that_an_older_reader_does_not_know(single_bundle: Path) -> None:
    assert b"serves_on" not in read_archive(single_bundle)["manifest.json"]


def test_the_card_shows_the_plots_that_stand_beside_it_and_each_is_a_whole_document(
    gpu_bundle: Exported, files: dict[str, bytes], single_bundle: Path
) -> None:
    card = files["card.md"].decode()
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", card)
    assert shown == ["card-confusion.svg", "card-reliability.svg", "card-variants.svg"]
    assert {name for name in files if name.endswith(".svg")} == {*shown}
    for name in shown:
        tree = ElementTree.fromstring(files[name].decode())
        assert tree.tag == "{http://www.w3.org/2000/svg}svg"
        assert b"var(" not in files[name]
        assert b"<script" not in files[name]
    words = "".join(ElementTree.fromstring(files["card-variants.svg"].decode()).itertext())
    for variant in gpu_bundle.manifest.variants[1:]:
        assert variant.name in words
        assert f"{variant.certificate.agreement:.1%} agree" in words  # type: ignore[union-attr]
        assert f"| {variant.name} | `{variant.file}` | {len(files[variant.file]) / 1e6:.1f} |" in card
    assert "card-variants.svg" not in read_archive(single_bundle)


def test_fp16_rounds_the_weights_of_the_network_and_not_those_of_the_head(files: dict[str, bytes]) -> None:
    graph = onnx.load_from_string(files["model.fp16.onnx"]).graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert {kinds[node.input[1]] for node in graph.node if node.op_type == "Conv"} == {HALF}
    assert {kind for name, kind in kinds.items() if name.startswith("classifier.head.")} == {FLOAT}
    assert {value.type.tensor_type.elem_type for value in graph.output} == {FLOAT}
    assert graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert len(files["model.fp16.onnx"]) < len(files["model.onnx"])
    infer, full = cpu_infer(files["model.fp16.onnx"]), cpu_infer(files["model.onnx"])
    images = np.random.default_rng(0).integers(0, 256, (5, *_side(graph), 3), dtype=np.uint8)
    assert np.abs(infer(images)[0] - full(images)[0]).max() < 0.02


def _side(graph: onnx.GraphProto) -> tuple[int, int]:
    _, height, width, _ = (dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim)
    return height, width


def test_int8_for_tensorrt_is_symmetric_of_full_eight_bits_and_has_biases_in_floats(files: dict[str, bytes]) -> None:
    graph = onnx.load_from_string(files["model.int8-tensorrt.onnx"]).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    pairs = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert pairs
    for node in pairs:
        zero = values[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
    makers = {output: node for node in graph.node for output in node.output}
    quantised = [
        node for node in graph.node if node.op_type == "Conv" and node.input[0] in makers
        and makers[node.input[0]].op_type == "DequantizeLinear"
    ]  # fmt: skip
    assert quantised
    for node in quantised:
        assert node.input[2] in values  # a float of its own, behind no pair
        assert values[node.input[2]].dtype == np.float32
        pair = makers[makers[node.input[1]].input[0]]
        weight, scale = values[pair.input[0]], values[pair.input[1]]
        largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
        assert scale.shape == (len(weight),)
        assert np.allclose(largest / scale, 127, atol=0.5) or not largest.all()
    assert not any("head" in name for node in pairs for name in node.input)


def small_graph() -> bytes:
    """A convolution, a norm over a large sum, an upsampling whose scales must stay floats, and a head."""
    random = np.random.default_rng(0)
    weights = {
        "kernel": random.normal(size=(4, 3, 3, 3)), "gain": np.ones(8), "scales": np.array([1, 1, 2, 2]),
        "far": np.array(1e6), "classifier.head.weight": random.normal(size=(16 * 16, 3)), "half": np.array(0.5),
    }  # fmt: skip
    integers = {"flat": np.array([0, -1], np.int64), "axes": np.array([1], np.int64)}
    nodes = [
        ("Cast", ["images"], "floats", {"to": FLOAT}),
        ("Transpose", ["floats"], "planes", {"perm": [0, 3, 1, 2]}),
        ("Mul", ["planes", "half"], "scaled", {}),
        ("Conv", ["scaled", "kernel"], "features", {"pads": [1, 1, 1, 1]}),
        ("LayerNormalization", ["features", "gain"], "normed", {}),
        ("Min", ["normed", "far"], "bounded", {}),
        ("Resize", ["bounded", "", "scales"], "larger", {}),
        ("ReduceMean", ["larger", "axes"], "mean", {"keepdims": 0}),
        ("Reshape", ["mean", "flat"], "row", {}),
        ("MatMul", ["row", "classifier.head.weight"], "logits", {}),
        ("Softmax", ["logits"], "probabilities", {"axis": 1}),
    ]
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    tensors += [numpy_helper.from_array(value, name) for name, value in integers.items()]
    graph = helper.make_graph(
        [helper.make_node(op, takes, [gives], name=f"n_{gives}", **more) for op, takes, gives, more in nodes],
        "small",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 8, 8, 3])],
        [helper.make_tensor_value_info(name, FLOAT, ["batch", 3]) for name in ("probabilities", "logits")],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def test_what_does_not_fit_into_sixteen_bits_stays_and_nothing_is_rounded_between_what_stays() -> None:
    converted = onnx.shape_inference.infer_shapes(onnx.load_from_string(convert_fp16(small_graph())))
    graph = converted.graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
    kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    of = {node.op_type: node for node in graph.node}
    taken = {op: [kinds[name] for name in node.input if name] for op, node in of.items() if op != "Cast"}
    assert taken["Conv"] == [HALF, HALF]
    assert {*taken["LayerNormalization"], *taken["MatMul"], *taken["Softmax"]} == {FLOAT}
    assert taken["Resize"] == [HALF, FLOAT]
    largest = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}[of["Min"].input[1]]
    assert largest == np.float16(65504)
    casts = [(node.input[0], node.output[0]) for node in graph.node if node.op_type == "Cast"]
    assert len(casts) == 5, casts  # uint8 to 32, into and out of 16 around the convolution and the norm, to the head
    session = ort.InferenceSession(converted.SerializeToString(), providers=[CPU])
    full = ort.InferenceSession(small_graph(), providers=[CPU])
    images = {"images": np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)}
    assert np.allclose(session.run(["logits"], images)[0], full.run(["logits"], images)[0], atol=0.05)


def test_a_graph_that_cannot_be_converted_says_why() -> None:
    with pytest.raises(ExportError, match="the graph cannot be converted"):
        convert_fp16(small_graph()[:-500])


def test_of_a_tools_complaint_of_many_lines_the_first_is_the_reason() -> None:
    def fails(_model: onnx.ModelProto) -> onnx.ModelProto:
        raise RuntimeError("no such operator\n  at line 40 of a file\n  at line 41")

    with pytest.raises(ExportError) as caught:
        rewrite(small_graph(), fails, "changed")
    assert str(caught.value) == "the graph cannot be changed: no such operator"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("cpu",), ("fp32", "int8")),
        (("gpu",), ("fp32", "fp16", "int8-tensorrt")),
        (("all",), ("fp32", "fp16", "int8", "int8-tensorrt")),
        (("int8-tensorrt", "fp32", "fp32"), ("fp32", "int8-tensorrt")),
        (("cpu", "fp16"), ("fp32", "fp16", "int8")),
        (("int8",), ("fp32", "int8")),
        ((), ("fp32",)),
    ],
)
def test_groups_stand_for_their_variants_and_full_precision_is_always_there(
    names: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert check_variants(names) == expected


@pytest.mark.slow
def test_the_same_run_gives_the_same_forms_in_another_process(
    single_run: TinyRun, files: dict[str, bytes], maker_key: SigningKey, home: OnsightHome, tmp_path: Path
) -> None:
    out = export_elsewhere(single_run.folder, ("gpu",), maker_key, home, tmp_path)
    again = read_archive(out)
    digests = [{name: hashlib.sha256(data).hexdigest() for name, data in each.items()} for each in (files, again)]
    assert digests[0] == digests[1]
    assert {"model.fp16.onnx", "model.int8-tensorrt.onnx"} <= digests[0].keys()


def test_progress_rises_to_the_end_by_shares_of_the_time(
    single_run: TinyRun, maker_key: SigningKey, tmp_path: Path
) -> None:
    seen: list[tuple[str, int, int]] = []
    out = tmp_path / "shapes.onsight"
    export_run(
        single_run.run,
        out,
        maker_key,
        variants=("fp32", "fp16"),
        step=lambda text, done, total: seen.append((text, done, total)),
    )
    places = [done for _, done, _ in seen]
    assert places == sorted(set(places))
    assert places[0] == 0
    assert {total for _, _, total in seen} == {places[-1]}
    assert [text for text, _, _ in seen[-4:]] == ["converting to fp16", "measuring fp16", "signing", "done"]
