"""Fixtures of the tests of images, nginx and the chart: an install of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))  # running_server, color_bundle

from running_server import Install

from bundle.home import OnsightHome
from bundle.keys import SigningKey
from bundle.trust import TrustStore


@pytest.fixture(scope="session")
def new_install(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Install]:
    """An install that trusts a maker's key, and a models folder with one bundle of that maker."""

    def build() -> Install:
        folder = tmp_path_factory.mktemp("install")
        install = Install(OnsightHome(folder / "home"), folder / "models", SigningKey.generate())
        TrustStore(install.home.trust_dir).add(install.key.public_key, "maker")
        install.add_bundle()
        return install

    return build
