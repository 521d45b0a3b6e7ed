"""`onsight backbones`: from a folder, a pack or a hub into the install, and on to a training; who uses a network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from fake_hub import COMMIT, MODEL, fake_hub
from onsight_process import Onsight, command_environment
from outside_connections import missing_for_namespaces, run_without_network
from tiny_runs import write_class_folders

from bundle.home import OnsightHome

pytestmark = pytest.mark.slow
README = b"---\nlicense: apache-2.0\ntags:\n- vision\n---\n# Tiny\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real `transformers` folder of a tiny network, with a licence and with files that no backbone needs."""
    import torch
    from transformers import ResNetConfig, ResNetModel

    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 32, "width": 32}}))
    (folder / "README.md").write_bytes(README)
    (folder / "LICENSE").write_text("Apache License")
    (folder / "training_args.bin").write_bytes(b"\x80\x04pickled")
    (folder / "modeling_own.py").write_text("raise SystemExit\n")
    return folder


KEPT = {"config.json", "model.safetensors", "preprocessor_config.json", "README.md", "LICENSE"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_folder_is_added_listed_trained_with_exported_and_removed(
    onsight: Onsight, home: OnsightHome, folder: Path, tmp_path: Path
) -> None:
    (built_in,) = onsight("backbones", "list", "--json").json
    assert (built_in["name"], built_in["built_in"]) == ("onsight-small", True)
    added = onsight("backbones", "add", folder)
    assert added.code == 0, added.stderr
    assert names(home.backbones_dir) == {"tiny"}
    assert names(home.backbones_dir / "tiny") == KEPT
    _, listed = onsight("backbones", "list", "--json").json
    assert not listed["built_in"]
    assert (listed["name"], listed["family"], listed["height"], listed["licence"]) == (
        "tiny",
        "resnet",
        32,
        "apache-2.0",
    )
    assert listed["parameters"] > 1000
    assert listed["size_bytes"] == sum((folder / name).stat().st_size for name in KEPT)
    assert "licence: apache-2.0" in onsight("backbones", "list").stdout

    images = write_class_folders(tmp_path / "images", 8)
    trained = onsight(
        "train", images, "--out", "run", "--backbone", "tiny", "--epochs", 2, "--hidden-units", 0, "--threads", 1
    )
    assert trained.code == 0, trained.stderr
    backbone = json.loads((tmp_path / "run" / "model.json").read_text())["backbone"]
    assert backbone["folder"] == str(home.backbones_dir / "tiny")
    assert backbone["sha256"] == listed["sha256"]
    exported = onsight("export", "run", "--out", "tiny.onsight")
    assert exported.code == 0, exported.stderr

    assert "expected a name that is free" in onsight("backbones", "add", folder).error
    assert onsight("backbones", "remove", "tiny").code == 0
    assert names(home.backbones_dir) == set()
    assert "tiny: expected a local transformers folder" in onsight("export", "run", "--out", "again.onsight").error
    assert onsight("backbones", "add", folder).code == 0
    assert onsight("export", "run", "--out", "again.onsight").code == 0  # the run finds it again
    assert onsight("backbones", "remove", "tiny").code == 0
    onsight("backbones", "add", folder, "--name", "moved")
    again = ("export", "run", "--out", "again.onsight", "--backbone")
    assert onsight(*again, "moved").code == 0
    assert "these are there: onsight-small, moved." in onsight(*again, "tiny").error


def test_an_unknown_name_is_answered_with_those_that_are_there(onsight: Onsight, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    train = ("train", "images", "--out", "run", "--backbone", "resnt")
    assert "these are there: onsight-small." in onsight(*train).error
    onsight("backbones", "add", folder, "--name", "resnet-50")
    assert "these are there: onsight-small, resnet-50." in onsight(*train).error
    assert "these are there: onsight-small, resnet-50." in onsight("backbones", "remove", "resnet-50", "resnt").error
    assert [each["name"] for each in onsight("backbones", "list", "--json").json] == ["onsight-small", "resnet-50"]


def test_a_pack_carries_backbones_to_another_install(
    onsight: Onsight, home: OnsightHome, folder: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        onsight("backbones", "add", folder, "--name", name)
    packed = onsight("backbones", "pack", "two", "one", "--out", "first.tar")
    assert packed.code == 0, packed.stderr
    onsight("backbones", "pack", "one", "two", "--out", "second.tar")
    assert (tmp_path / "first.tar").read_bytes() == (tmp_path / "second.tar").read_bytes()
    other = OnsightHome(tmp_path / "other")
    added = onsight("backbones", "add", "first.tar", "--json", home=other)
    assert added.code == 0, added.stderr
    here = onsight("backbones", "list", "--json").json
    there = onsight("backbones", "list", "--json", home=other).json
    assert [{**each, "folder": ""} for each in here] == [{**each, "folder": ""} for each in there]
    assert "expected a pack of `onsight backbones pack`" in onsight("backbones", "add", folder / "config.json").error


# The network


def test_a_hub_id_is_fetched_of_one_commit_and_without_anything_pickled(
    onsight: Onsight, home: OnsightHome, folder: Path
) -> None:
    with fake_hub(folder, **{"pytorch_model.bin": b"\x80\x04"}) as hub:
        added = onsight("backbones", "add", MODEL, "--revision", "v1", "--json", HF_ENDPOINT=hub.endpoint)
        assert added.code == 0, added.stderr
        assert hub.fetched == KEPT
        assert all(COMMIT in line for line in hub.asked if "/resolve/" in line)
    (found,) = added.json
    assert (found["name"], found["source"], found["licence"]) == ("tiny", f"{MODEL}@{COMMIT}", "apache-2.0")
    assert names(home.backbones_dir) == {"tiny"}
    assert names(home.backbones_dir / "tiny") == {*KEPT, "source.json"}
    assert (home.backbones_dir / "tiny" / "model.safetensors").read_bytes() == (
        folder / "model.safetensors"
    ).read_bytes()


def test_what_a_hub_does_not_have_is_told_of_and_nothing_stays(
    onsight: Onsight, home: OnsightHome, folder: Path, tmp_path: Path
) -> None:
    with fake_hub(folder) as hub:

        def refused(*arguments: object) -> str:
            error = onsight("backbones", "add", *arguments, HF_ENDPOINT=hub.endpoint).error
            assert not home.backbones_dir.exists() or names(home.backbones_dir) == set()
            return error

        assert "expected a model of the Hub, found none of that name" in refused("maker/other")
        assert "found no v9. Nothing was added. Check --revision." in refused(MODEL, "--revision", "v9")
        hub.files["model.safetensors"] = hub.files["model.safetensors"][:5000]
        assert "tiny: not added" in refused(MODEL)
        del hub.files["model.safetensors"]
        assert "Pickled weights (.bin, .pt) are not fetched" in refused(MODEL)
        asked = len(hub.asked)
        assert (
            "HF_HUB_OFFLINE" in onsight("backbones", "add", MODEL, HF_ENDPOINT=hub.endpoint, HF_HUB_OFFLINE="1").error
        )
        assert "found nothing of that name here" in refused("models/maker/tiny")
        (tmp_path / "maker").mkdir()  # so that maker/tiny may be a slip in a path
        assert "--hub says that it is a HUB_ID" in refused(MODEL)
        assert len(hub.asked) == asked
    assert f"expected to reach {hub.endpoint}" in refused(MODEL, "--hub")


def test_what_lies_here_wins_over_the_hub(onsight: Onsight, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "maker").mkdir()
    (tmp_path / "maker" / "tiny").symlink_to(folder)
    with fake_hub(folder) as hub:
        assert onsight("backbones", "add", MODEL, "--name", "here", HF_ENDPOINT=hub.endpoint).code == 0
        assert hub.asked == []
        wrong = onsight("backbones", "add", MODEL, "--revision", "v1", HF_ENDPOINT=hub.endpoint)
        assert "--revision: expected a HUB_ID" in wrong.error
        assert onsight("backbones", "add", MODEL, "--hub", HF_ENDPOINT=hub.endpoint).code == 0
        assert hub.asked != []


COMMANDS = """
onsight() { "$PYTHON" -m onsight.cli "$@"; }
set -e
onsight backbones add "$FOLDER" --name tiny
onsight backbones list
onsight backbones pack tiny --out tiny.tar
onsight backbones remove tiny
onsight backbones add tiny.tar
onsight train images --out run --backbone tiny --epochs 1 --hidden-units 0 --threads 1
"""


def test_no_command_but_the_one_that_is_given_a_hub_id_tries_to_connect(folder: Path, tmp_path: Path) -> None:
    if reason := missing_for_namespaces():
        pytest.skip(reason)
    write_class_folders(tmp_path / "images", 8)
    project = Path(__file__).parents[2]
    environment = command_environment(tmp_path / "home", {"PYTHONPATH": str(project), "PYTHON": sys.executable})
    environment |= {"FOLDER": str(folder), "HOME": str(tmp_path)}
    done, outside = run_without_network(["sh", "-c", COMMANDS], tmp_path, environment)
    assert done.returncode == 0, done.stderr.decode()
    assert outside == set()
    # 192.0.2.1 is nobody's: the attempt shows that the measure sees one
    hub = {**environment, "HF_ENDPOINT": "http://192.0.2.1:9"}
    command = [sys.executable, "-m", "onsight.cli", "backbones", "add", "maker/other"]
    done, outside = run_without_network(command, tmp_path, hub)
    assert done.returncode == 1
    assert b"expected to reach http://192.0.2.1:9" in done.stderr
    assert outside == {"192.0.2.1"}
    assert [path.name for path in (tmp_path / "home" / "backbones").iterdir()] == ["tiny"]
