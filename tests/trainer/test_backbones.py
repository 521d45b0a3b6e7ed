"""Backbones: what is read from a local folder, what is refused, and that the graph answers as the network does."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from tiny_models import families, save_folder
from torch import nn

from trainer.backbone import ImageEncoder, check_backbone, load_encoder, read_backbone_spec, scratch_spec
from trainer.errors import BackboneError
from trainer.onnx_graph import export_onnx

PROJECT = Path(__file__).parents[2]
MOBILENET = PROJECT.parent / "shared" / "data" / "weights" / "mobilenet_v2_imagenet"


def pictures(count: int, side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def export(encoder: ImageEncoder, side: int) -> bytes:
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    return export_onnx(encoder, example, input_name="images", output_names=["features"])


def assert_same_answers(encoder: ImageEncoder, graph: bytes, images: NDArray[np.uint8]) -> None:
    """At batches 1, 2 and 7, within 1e-5 of the features' own scale."""
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = encoder(torch.from_numpy(images)).numpy()
    scale = np.abs(expected).max()
    assert scale > 1e-3
    assert expected.std(0).max() > 1e-3 * scale  # the features see the image
    for batch in (1, 2, 7):
        (found,) = session.run(["features"], {"images": images[:batch]})
        assert found.shape == (batch, expected.shape[1])
        assert np.abs(found - expected[:batch]).max() / scale < 1e-5, f"batch {batch}"


# Parity of the exported graph


@pytest.mark.slow
@pytest.mark.parametrize("family", ["deit", "siglip"])  # tests/exporter/test_backbone_families.py has the others
def test_the_exported_graph_answers_as_the_network_at_every_batch_size(family: str, tmp_path: Path) -> None:
    build, side = families()[family]
    spec = read_backbone_spec(save_folder(build(), tmp_path / family, side))
    encoder = load_encoder(spec)
    assert (spec.height, spec.width) == (side, side)
    assert_same_answers(encoder, export(encoder, side), pictures(7, side))


@pytest.mark.slow
def test_the_exported_small_network_answers_as_the_network_does() -> None:
    encoder = load_encoder(scratch_spec(24, 24))
    assert_same_answers(encoder, export(encoder, 24), pictures(7, 24))


@pytest.mark.slow
def test_the_exported_mobilenet_of_the_shared_data_answers_as_the_network_does() -> None:
    if not MOBILENET.is_dir():
        pytest.skip(f"{MOBILENET} is not there")
    spec = read_backbone_spec(MOBILENET)
    assert (spec.height, spec.width) == (224, 224)
    encoder = load_encoder(spec)
    assert_same_answers(encoder, export(encoder, 224), pictures(7, 224))


EXPORT = """
import hashlib, sys
from pathlib import Path
from test_backbones import export, load_encoder, read_backbone_spec
graph = export(load_encoder(read_backbone_spec(Path(sys.argv[1]))), 32)
Path(sys.argv[2]).write_bytes(graph)
"""


@pytest.mark.slow
def test_two_processes_export_the_same_bytes_and_nothing_of_the_machine(backbone: Path, tmp_path: Path) -> None:
    graphs = []
    for number in range(2):
        elsewhere = Path(shutil.copytree(backbone, tmp_path / f"place-{number}" / "copy"))
        command = [sys.executable, "-c", EXPORT, str(elsewhere), str(tmp_path / f"{number}.onnx")]
        environment = {
            "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}:{Path(__file__).parent}",
            "HOME": str(tmp_path),
            "LANG": "C.UTF-8",
        }
        subprocess.run(command, check=True, cwd=elsewhere, env=environment, timeout=300)
        graphs.append((tmp_path / f"{number}.onnx").read_bytes())
    assert hashlib.sha256(graphs[0]).digest() == hashlib.sha256(graphs[1]).digest()
    for trace in (str(PROJECT), str(tmp_path), sys.prefix, ".py", "site-packages", "stack_trace", "pkg.torch"):
        assert trace.encode() not in graphs[0], trace


@pytest.mark.slow
def test_a_graph_whose_batch_is_baked_in_is_refused() -> None:
    class Fixed(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.float().mean() * torch.ones(2, 3)

    with pytest.raises(RuntimeError, match="batch"):
        export_onnx(Fixed(), torch.zeros(2, 4), input_name="images", output_names=["features"])
    with pytest.raises(ValueError, match="expected a batch of 2 or more"):
        export_onnx(Fixed(), torch.zeros(1, 4), input_name="images", output_names=["features"])


# What is read from a folder


def test_a_folder_gives_its_size_normalisation_and_a_digest_of_its_files(backbone: Path, tmp_path: Path) -> None:
    spec = read_backbone_spec(backbone)
    assert (spec.name, spec.height, spec.width) == ("resnet", 32, 32)
    assert (spec.mean, spec.std) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    copy = Path(shutil.copytree(backbone, tmp_path / "copy"))
    assert read_backbone_spec(copy).sha256 == spec.sha256
    check_backbone(spec)
    tensors = load_file(copy / "model.safetensors")
    tensors[sorted(tensors)[0]] += 1
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    assert read_backbone_spec(copy).sha256 != spec.sha256
    assert read_backbone_spec(backbone, 48, 64).width == 64


@pytest.mark.parametrize(
    ("processor", "size"),
    [
        ({"size": {"shortest_edge": 40}, "crop_size": {"height": 36, "width": 38}}, (36, 38)),
        ({"size": {"shortest_edge": 40}}, (40, 40)),
        ({"size": 44}, (44, 44)),
        ({}, (224, 224)),
    ],
)
def test_the_size_is_what_the_network_sees_after_its_own_preprocessing(
    backbone: Path, tmp_path: Path, processor: dict[str, Any], size: tuple[int, int]
) -> None:
    copy = Path(shutil.copytree(backbone, tmp_path / "copy"))
    (copy / "preprocessor_config.json").write_text(json.dumps(processor))
    spec = read_backbone_spec(copy)
    assert (spec.height, spec.width) == size


def test_images_are_normalised_only_where_the_folder_says_so(backbone: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(backbone, tmp_path / "copy"))
    (copy / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False, "image_mean": [0.5] * 3}))
    spec = read_backbone_spec(copy)
    assert (spec.mean, spec.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_pixels_reach_the_backbone_normalised_and_in_its_layout() -> None:
    class Seen(nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels[:, :, 1, 0]

    spec = scratch_spec(2, 2)
    image = torch.zeros(1, 2, 2, 3, dtype=torch.uint8)
    image[0, 1, 0] = torch.tensor([0, 51, 255])
    assert ImageEncoder(spec, Seen())(image)[0].tolist() == pytest.approx([-1.0, -0.6, 1.0], abs=1e-6)


def test_random_weights_depend_on_the_seed_alone(backbone: Path) -> None:
    spec = read_backbone_spec(backbone)

    def weights(seed: int) -> torch.Tensor:
        torch.rand(seed + 3)
        encoder = load_encoder(spec, seed=seed, random_weights=True)
        return torch.cat([value.flatten().float() for value in encoder.state_dict().values()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert load_encoder(spec, random_weights=True).feature_count() == load_encoder(spec).feature_count()


def test_a_vit_classifier_has_no_weights_for_its_pooler_and_does_without(tmp_path: Path) -> None:
    build, side = families()["vit"]
    folder = save_folder(build(), tmp_path / "vit", side)
    spec = read_backbone_spec(folder)
    images = torch.from_numpy(pictures(2, side))
    with torch.no_grad():
        features = load_encoder(spec, seed=0)(images)
        assert torch.equal(features, load_encoder(spec, seed=1)(images))  # nothing in it is random
    assert load_encoder(spec, random_weights=True).feature_count() == features.shape[1]


# What is refused


def test_a_folder_that_is_not_a_backbone_is_refused_with_what_is_missing(backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="found no such folder"):
        read_backbone_spec(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BackboneError, match=r"found no config\.json"):
        read_backbone_spec(tmp_path / "empty")
    copy = Path(shutil.copytree(backbone, tmp_path / "copy"))
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(BackboneError, match="Pickled weights"):
        read_backbone_spec(copy)


@pytest.mark.parametrize("text", ["{", "[]", '"resnet"'])
def test_a_garbled_config_is_refused(backbone: Path, tmp_path: Path, text: str) -> None:
    copy = Path(shutil.copytree(backbone, tmp_path / "copy"))
    (copy / "config.json").write_text(text)
    with pytest.raises(BackboneError, match=r"expected JSON in config\.json"):
        read_backbone_spec(copy)


def refused(folder: Path) -> str:
    with pytest.raises(BackboneError) as caught:
        load_encoder(read_backbone_spec(folder))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_weights_that_are_damaged_missing_or_of_another_network_are_refused(backbone: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(backbone, tmp_path / "copy"))
    weights = copy / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert "expected an image model that transformers builds" in refused(copy)
    tensors = load_file(backbone / "model.safetensors")
    some = {name: value for name, value in tensors.items() if "stages.0" not in name}
    save_file(some, weights, {"format": "pt"})
    assert "hold no weights for" in refused(copy)
    save_file({"other": torch.zeros(3)}, weights, {"format": "pt"})
    assert "hold no weights for" in refused(copy)


def test_a_model_that_takes_no_images_is_refused(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    config = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=32)
    assert "expected an image model" in refused(save_folder(BertModel(config), tmp_path / "bert", 32))


def test_an_input_size_that_the_backbone_cannot_take_is_refused(tmp_path: Path) -> None:
    build, _ = families()["vit"]
    folder = save_folder(build(), tmp_path / "vit", 48)
    assert "takes 48x48 images" in refused(folder)


def test_code_that_lies_in_the_folder_is_never_run(backbone: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(backbone, tmp_path / "copy"))
    ran = tmp_path / "ran"
    (copy / "modeling_own.py").write_text(f"open({str(ran)!r}, 'w').close()\nclass Own: pass\nclass OwnConfig: pass\n")
    config = json.loads((copy / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.Own"},
    }
    (copy / "config.json").write_text(json.dumps(config))
    refused(copy)
    assert not ran.exists()


def test_a_backbone_that_has_changed_since_the_run_is_refused(backbone: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(backbone, tmp_path / "copy"))
    spec = read_backbone_spec(copy)
    check_backbone(spec)
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    with pytest.raises(BackboneError, match="expected the backbone of this run"):
        check_backbone(spec)
    shutil.rmtree(copy)
    with pytest.raises(BackboneError, match="found no such folder"):
        check_backbone(spec)
    check_backbone(scratch_spec(32, 32))
