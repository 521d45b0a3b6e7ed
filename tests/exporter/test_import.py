"""Foreign models become bundles: labels, preprocessing, figures, the command, transformers folders."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from exporting import refused
from foreign_models import LABELS, bundle_answers, classifier
from onnx import helper, numpy_helper
from onsight_process import Onsight, command_environment
from onsight_server import onsight_serve
from tiny_runs import EXPORTED_AT, write_class_folders

from bundle.archive import read_archive
from bundle.keys import SigningKey
from bundle.manifest import Task
from bundle.preprocess import preprocess
from exporter.errors import ExportError
from exporter.importing.make import import_model
from exporter.importing.preprocessing import PRESETS, Preprocessing, read_preprocessing
from exporter.importing.proof_images import generated_files
from exporter.importing.transformers_source import open_transformers
from exporter.parity import cpu_infer

MOBILENET = Path(__file__).resolve().parents[3] / "shared" / "data" / "weights" / "mobilenet_v2_imagenet"


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


@pytest.mark.parametrize(("outputs", "named", "first"), [(1001, 1000, "background"), (1000, 1001, "label 1")])
def test_a_background_class_is_added_or_left_out_with_a_note(
    outputs: int, named: int, first: str, tmp_path: Path, maker_key: SigningKey
) -> None:
    """ImageNet has 1,000 labels; some makers count one for what is none of them."""
    names = [f"label {number}" for number in range(named)]
    if named > outputs:
        names[0] = "Background"
    (tmp_path / "l.txt").write_text("\n".join(names))
    made = import_model(
        classifier(tmp_path / "m.onnx", outputs=outputs), tmp_path / "m.onsight", maker_key,
        labels=tmp_path / "l.txt", preprocessing=PRESETS["unit"],
    )  # fmt: skip
    assert len(made.manifest.labels) == outputs
    assert (made.manifest.labels[0], made.manifest.labels[-1]) == (first, names[-1])
    assert any(note.startswith(f"{outputs} outputs and {named} labels") for note in made.notes)


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


PEAKS = r"""
import re, sys
from pathlib import Path
from bundle.keys import SigningKey
from exporter.importing.make import import_model
from exporter.importing.preprocessing import PRESETS

key = SigningKey.generate()
for name in sys.argv[1:]:
    import_model(Path(name), Path(name + ".onsight"), key, labels=Path("labels.txt"), preprocessing=PRESETS["unit"])
    print(1024 * int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]))
"""


@pytest.mark.slow
def test_a_large_model_is_in_memory_four_times_at_most(tmp_path: Path, labels: Path) -> None:
    """As Python's message, as bytes, and twice within ONNX Runtime while it begins; small ones are what is there
    without it.
    """
    model = onnx.load(classifier(tmp_path / "small.onnx", end="Softmax"))
    random, edges = np.random.default_rng(0), (8, 2900, 2900, 2900, 2900, 8)
    for place, edge in enumerate(pairwise(edges)):
        model.graph.initializer.append(numpy_helper.from_array(random.normal(0, 0.02, edge).astype("f4"), f"w{place}"))
        model.graph.node.insert(-2, helper.make_node("MatMul", [f"f{place}", f"w{place}"], [f"f{place + 1}"]))
    model.graph.node[-2 - len(edges)].output[0], model.graph.node[-2].input[0] = "f0", f"f{len(edges) - 1}"
    onnx.save(model, tmp_path / "large.onnx")
    size = (tmp_path / "large.onnx").stat().st_size
    assert size > 100_000_000
    command = [sys.executable, "-c", PEAKS, "small.onnx", "large.onnx"]
    done = subprocess.run(command, cwd=tmp_path, env=command_environment(tmp_path), check=True, capture_output=True)
    small, large = map(int, done.stdout.split())
    assert large - small < 4.5 * size


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


def test_a_transformers_folder_of_one_label_is_multi_label(tmp_path: Path) -> None:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic", num_labels=1)
    ResNetForImageClassification(config).save_pretrained(tmp_path / "resnet")
    original = open_transformers(tmp_path / "resnet", PRESETS["unit"])
    assert (original.task, original.outputs) == (Task.MULTI_LABEL, 1)
    assert any(note.startswith("one output is one label") for note in original.notes)
    with pytest.raises(ExportError, match=r"found one, which is 100 % .* Leave --task out"):
        open_transformers(tmp_path / "resnet", PRESETS["unit"], task=Task.SINGLE_LABEL)


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
