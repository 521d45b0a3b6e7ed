"""The store's hidden folders: what a killed process left is swept away, what is in use is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from exporter.importing.transformers_source import open_transformers
from trainer.backbone import read_backbone_spec
from trainer.backbone_store import BackboneStore
from trainer.errors import BackboneError

ADD = """
import sys
from pathlib import Path
from trainer.backbone_store import BackboneStore

with BackboneStore(Path(sys.argv[1])).staging() as folder:
    (folder / "model.safetensors").write_bytes(b"half of it")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_swept_and_what_another_adds_now_is_not(tmp_path: Path) -> None:
    store = BackboneStore(tmp_path / "backbones")
    process = subprocess.Popen(
        [sys.executable, "-c", ADD, str(store.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        with store.staging() as mine, store.staging() as another:
            assert folder.is_dir()
            assert mine.is_dir()
            assert another.is_dir()
        process.kill()
    assert folder.is_dir()
    with store.staging() as mine:
        assert list(store.folder.iterdir()) == [mine]
    assert list(store.folder.iterdir()) == []


def test_a_folder_that_holds_nothing_is_told_of_in_words_that_suit_every_command(tmp_path: Path) -> None:
    for look in (
        read_backbone_spec,
        lambda folder: open_transformers(folder, None),
        BackboneStore(tmp_path).add_folder,
    ):
        with pytest.raises(BackboneError, match=r"found no config\.json\. Give the folder that holds them\.$"):
            look(tmp_path)
