"""`onsight engine` on a real GPU: what it builds fits, lists, and is what a server's engine then finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bundle.home import OnsightHome
from bundle.load import load_bundle
from bundle.trust import TrustStore
from onsight.cli import main
from server.engines.factory import EngineBuilder, EngineOptions
from server.engines.protocol import Engine
from server.models.loader import choose_variant
from server.settings import ServerSettings

pytestmark = pytest.mark.gpu


def run(home: OnsightHome, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["engine", *arguments], env={"ONSIGHT_HOME": str(home.path)})


def test_an_engine_that_was_built_ahead_is_listed_and_served_from_the_cache(
    tensorrt: str, home: OnsightHome, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue("single_bundle")
    built = run(home, "build", str(path), "--precision", "fp32", "--json")
    assert built.exit_code == 0, built.stderr
    assert [each["status"] for each in json.loads(built.stdout)] == ["built"]
    assert [each["fits"] for each in json.loads(run(home, "list", "--json").stdout)] == [True]

    bundle = load_bundle(path, TrustStore(home.trust_dir))
    settings, said = ServerSettings(), list[str]()
    options = EngineOptions((tensorrt,), home=home.path, engine_cache_bytes=settings.engine_cache_bytes)
    graph = bundle.files[choose_variant(bundle.manifest).file]
    engine: Engine = EngineBuilder(options).build(bundle.manifest, graph, said.append)
    engine.close()
    assert said == []  # nothing was built

    assert run(home, "clear", "--unusable", "--yes").exit_code == 0
    assert len(json.loads(run(home, "list", "--json").stdout)) == 1
    assert run(home, "clear", "--all", "--yes").exit_code == 0
    assert json.loads(run(home, "list", "--json").stdout) == []
