"""The models folder changes, and what serves follows: real bundles and engines, one look at a time."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from bad_bundles import BAD_BUNDLES, Spoil
from color_bundle import RED
from running_server import Install

from bundle.decode import ImageLimits
from bundle.manifest import Manifest
from bundle.trust import TrustStore
from server.engines.factory import EngineOptions, engine_factory
from server.engines.protocol import Engine
from server.errors import ConfigurationError, EngineRestarting, UnknownModel
from server.models.keeper import Keeper
from server.models.last_good import LastGoodStore
from server.models.registry import Registry
from server.models.wishes import Wishes


class Kept:
    """A registry and its keeper, as one worker has them; `engines` counts those built and closed."""

    def __init__(self, install: Install, *, store: bool = True, every_version: bool = False) -> None:
        self.install = install
        self.registry = Registry()
        self.built: list[Engine] = []
        self.closed: list[Engine] = []
        self.wishes = Wishes(install.home.path / "serving" / "wishes.json")
        build = engine_factory(EngineOptions())

        def count(manifest: Manifest, graph: bytes, *, private: bool = False) -> Engine:
            engine: Any = build(manifest, graph, private=private)
            self.built.append(engine)
            engine.close = lambda: self.closed.append(engine)
            return engine  # type: ignore[no-any-return]

        self.keeper = Keeper(
            install.models, install.home.trust_dir, self.registry, count, ImageLimits(), wishes=self.wishes,
            store=LastGoodStore(install.home.path, install.models) if store else None, every_version=every_version,
        )  # fmt: skip
        self.keeper.look()

    def look(self) -> None:
        """As a person who asks: nothing is left to settle."""
        self.keeper.look(forced=True)

    @property
    def versions(self) -> list[str]:
        return [model.manifest.version for model in self.registry.models]

    @property
    def failed(self) -> dict[str, tuple[str, bool]]:
        return {failure.file_name: (failure.code, failure.kept) for failure in self.registry.failures}


def test_a_missing_runtime_is_the_installs_fault_and_not_the_bundles(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install.add_bundle()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (failure,) = Kept(install).registry.failures
    assert "expected the Python package onnxruntime" in failure.reason
    assert "extra 'server'" in failure.reason


def test_a_bundle_that_lands_serves_and_one_that_goes_stops(install: Install) -> None:
    kept = Kept(install)
    assert kept.versions == []
    bundle = install.add_bundle()
    kept.look()
    assert kept.versions == ["1"]
    bundle.unlink()
    kept.look()
    assert kept.versions == []
    assert kept.closed == kept.built
    with pytest.raises(UnknownModel):
        kept.registry.get(["default"], "colours")


def test_nothing_new_is_nothing_done(install: Install) -> None:
    install.add_bundle()
    kept = Kept(install)
    table = kept.registry.table
    assert not kept.keeper.look()
    assert kept.registry.table is table
    kept.look()
    assert len(kept.built) == 1


def test_a_model_whose_engine_was_away_for_a_moment_is_loaded_at_the_next_look(install: Install) -> None:
    install.add_bundle()
    kept, registry = Kept(install), Registry()
    build, tried = engine_factory(EngineOptions()), []

    def engine_that_comes_back(manifest: Manifest, graph: bytes, *, private: bool = False) -> Engine:
        tried.append(manifest)
        if len(tried) < 3:
            raise EngineRestarting("its process ended")
        return build(manifest, graph, private=private)

    keeper = Keeper(install.models, install.home.trust_dir, registry, engine_that_comes_back, ImageLimits())
    assert keeper.look()
    assert [failure.code for failure in registry.failures] == ["ENGINE_RESTARTING"]
    assert keeper.look()
    assert keeper.look()
    assert [model.manifest.version for model in registry.models] == kept.versions
    assert not registry.failures
    assert not keeper.look()


def test_a_new_version_takes_over_and_the_old_one_is_closed_after_its_last_request(install: Install) -> None:
    install.add_bundle("a.onsight", version="1")
    kept = Kept(install)
    with kept.registry.lease(["default"], "colours") as old:
        install.add_bundle("b.onsight", version="2")
        kept.look()
        assert kept.versions == ["2"]
        assert kept.closed == []
        assert old.predict(RED).decision.labels == ("red",)
    assert kept.closed == [old.engine]


def test_the_same_file_with_new_content_takes_over(install: Install) -> None:
    install.add_bundle(version="1")
    kept = Kept(install)
    install.add_bundle(version="0.9")  # lower, and yet what the operator put there
    kept.look()
    assert kept.versions == ["0.9"]
    assert kept.closed == kept.built[:1]


@pytest.mark.parametrize("spoil", BAD_BUNDLES.values(), ids=BAD_BUNDLES)
def test_a_bad_bundle_in_its_place_leaves_the_model_serving_after_a_restart_too(install: Install, spoil: Spoil) -> None:
    path = install.add_bundle()
    kept = Kept(install)
    spoil(install, path)
    kept.look()
    for each in (kept, Kept(install)):  # this worker, and one that starts now
        assert each.versions == ["1"]
        assert each.failed["colours.onsight"][1]
        assert each.registry.get(["default"], "colours").predict(RED).decision.labels == ("red",)


@pytest.mark.parametrize("spoil", BAD_BUNDLES.values(), ids=BAD_BUNDLES)
def test_without_copies_a_bad_bundle_leaves_the_model_to_those_who_have_it(install: Install, spoil: Spoil) -> None:
    path = install.add_bundle()
    kept = Kept(install, store=False)
    spoil(install, path)
    kept.look()
    assert kept.versions == ["1"]
    assert not kept.closed[1:]
    assert Kept(install, store=False).versions == []


def test_a_copy_is_verified_like_any_bundle(install: Install) -> None:
    path = install.add_bundle()
    Kept(install)
    (copy,) = (install.home.path / "serving").glob("*/*.onsight")
    data = bytearray(copy.read_bytes())
    data[data.index(b"mean") + 1] ^= 1
    copy.write_bytes(data)
    path.write_text("bad")
    assert Kept(install).versions == []


def test_a_copy_goes_with_its_file(install: Install) -> None:
    path = install.add_bundle()
    kept = Kept(install)
    path.unlink()
    kept.look()
    assert list((install.home.path / "serving").glob("*/*.onsight")) == []
    path.write_text("bad")
    kept.look()
    assert kept.versions == []


def test_a_key_that_is_no_longer_trusted_stops_its_models_and_a_new_one_starts_them(install: Install) -> None:
    install.add_bundle()
    kept = Kept(install)
    trust = TrustStore(install.home.trust_dir)
    trust.remove(install.key.public_key.key_id)
    kept.keeper.look()
    assert kept.versions == []
    assert kept.failed == {"colours.onsight": ("UNTRUSTED_KEY", False)}
    trust.add(install.key.public_key, "again")
    kept.keeper.look()
    assert kept.versions == ["1"]


def test_a_file_that_is_being_copied_is_left_to_settle(install: Install) -> None:
    kept = Kept(install)
    path = install.add_bundle()
    changed = path.stat().st_mtime
    kept.keeper.look(now=changed + 0.2)
    assert (kept.versions, kept.failed) == ([], {})
    kept.keeper.look(now=changed + 2)  # although nothing has changed since
    assert kept.versions == ["1"]


def test_a_folder_that_cannot_be_read_for_a_moment_stops_nothing(install: Install) -> None:
    install.add_bundle()
    kept = Kept(install)
    away = install.models.with_name("away")
    install.models.rename(away)
    kept.look()
    assert kept.versions == ["1"]
    away.rename(install.models)


def test_a_home_that_cannot_be_written_costs_the_copy_and_nothing_else(install: Install) -> None:
    (install.home.path / "serving").write_text("in the way")
    path = install.add_bundle()
    kept = Kept(install)
    path.write_text("bad")
    kept.look()
    assert kept.versions == ["1"]


def test_models_are_unloaded_and_loaded_by_wish_and_it_lasts(install: Install) -> None:
    for version in ("1", "2", "10"):
        install.add_bundle(f"v{version}.onsight", version=version)
    kept = Kept(install)
    key = ("default", "colours")
    kept.wishes.unload(key, None)
    assert kept.keeper.look()
    assert kept.versions == []
    assert [one.version for one in kept.registry.standby] == ["10", "2", "1"]
    kept.wishes.load(key, "2")
    kept.keeper.look()
    kept.wishes.load(key, "1")
    kept.keeper.look()
    assert kept.versions == ["2", "1"]
    assert Kept(install).versions == ["2", "1"]
    assert kept.registry.get(["default"], "colours", version="1").manifest.version == "1"
    with pytest.raises(UnknownModel):
        kept.registry.get(["default"], "colours", version="10")
    kept.wishes.unload(key, "2", kept.versions)
    kept.keeper.look()
    assert kept.versions == ["1"]
    kept.wishes.load(key, None)
    kept.keeper.look()
    assert kept.versions == ["10"]
    assert len(kept.closed) == len(kept.built) - 1


def test_wishes_that_cannot_be_read_are_an_error_and_serve_the_highest(install: Install) -> None:
    install.add_bundle()
    kept = Kept(install)
    kept.wishes.unload(("default", "colours"), None)
    kept.wishes.path.write_text("[]")
    with pytest.raises(ConfigurationError, match="Delete it"):
        kept.wishes.read()
    kept.look()
    assert kept.versions == ["1"]


def test_all_versions_serve_where_the_operator_says_so(install: Install) -> None:
    for version in ("1", "2"):
        install.add_bundle(f"v{version}.onsight", version=version)
    install.add_bundle("twin.onsight", version="2")
    kept = Kept(install, every_version=True)
    assert kept.versions == ["2", "1"]
    assert kept.registry.get(["default"], "colours").manifest.version == "2"


def test_leases_under_constant_swaps_always_find_an_open_model(install: Install) -> None:
    install.add_bundle(version="0")
    kept = Kept(install)
    stop = threading.Event()
    wrong: list[str] = []

    def ask() -> None:
        while not stop.is_set():
            with kept.registry.lease(["default"], "colours") as model:
                if model.engine in kept.closed or model.predict(RED).decision.labels != ("red",):
                    wrong.append("closed under a request")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in range(1, 26):
        install.add_bundle(version=str(version))
        kept.look()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert kept.versions == ["25"]
    assert len(kept.closed) == len(kept.built) - 1 == 25


def test_a_folder_as_a_bundle_serves_too(install: Install, tmp_path: Path) -> None:
    from bundle.load import unpack_bundle

    path = install.add_bundle()
    unpack_bundle(path, tmp_path / "folder", TrustStore(install.home.trust_dir))
    path.unlink()
    (tmp_path / "folder").rename(install.models / "unpacked.onsight")
    assert Kept(install).versions == ["1"]
