"""Fixtures of the installer's tests: a wheelhouse that `onsight pack-offline` made without a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from installation import Installation
from local_wheelhouse import index_environment, pack_offline, write_source_tree, write_stand_in


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 0.1.0 for this Python. Read it; copy it to change it."""
    folder = tmp_path_factory.mktemp("packing")
    index = folder / "index"
    index.mkdir()
    write_stand_in(index)
    source = write_source_tree(folder / "source")
    made = pack_offline(folder / "wheelhouse", source, index_environment(index))
    assert made.returncode == 0, made.stderr
    return folder / "wheelhouse"


@pytest.fixture
def host(tmp_path: Path) -> Installation:
    """A host on which nothing is installed."""
    return Installation(tmp_path / "host")
