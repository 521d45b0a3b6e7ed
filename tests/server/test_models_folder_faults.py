"""The models folder, the keys or the home go wrong under a running server: nothing that serves stops."""

from __future__ import annotations

import logging
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from color_bundle import RED
from running_server import Install
from test_keeper import Kept

from bundle.home import OnsightHome
from bundle.keys import SigningKey
from bundle.load import Bundle, load_bundle
from bundle.sealed import Opener
from bundle.trust import TrustStore
from server.models import verifying

KEY = ("default", "colours")


@contextmanager
def as_another_user() -> Iterator[None]:
    """root may read everything, so these looks are somebody else's."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_install() -> Iterator[Install]:
    """Whose folders every user may list; not below tmp_path, whose parents are for one user alone."""
    with tempfile.TemporaryDirectory(prefix="onsight-") as name:
        folder = Path(name)
        install = Install(OnsightHome(folder / "home"), folder / "models", SigningKey.generate())
        install.models.mkdir()
        TrustStore(install.home.trust_dir).add(install.key.public_key, "test")
        for each in (folder, install.home.path, install.home.trust_dir):
            each.chmod(0o755)
        yield install


@pytest.fixture(autouse=True)
def _may_write_again() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def copies(install: Install) -> list[Path]:
    return list((install.home.path / "serving").glob("*/*.onsight"))


def test_a_bundle_that_becomes_readable_is_served_although_its_content_is_the_same(open_install: Install) -> None:
    path = open_install.add_bundle()
    path.chmod(0)
    with as_another_user():
        kept = Kept(open_install)
        assert kept.failed == {"colours.onsight": ("BUNDLE_MALFORMED", False)}
    path.chmod(0o644)
    assert kept.keeper.look(now=path.stat().st_mtime + 60)
    assert kept.versions == ["1"]


def test_a_project_whose_folder_cannot_be_read_goes_on_and_keeps_its_copies(
    open_install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    path = open_install.add_bundle("shop/colours.onsight")
    kept = Kept(open_install)
    path.parent.chmod(0)
    open_install.add_bundle("new.onsight", name="new").chmod(0)
    try:
        with as_another_user():
            for _ in range(3):
                kept.look()
        assert [model.label for model in kept.registry.models] == ["shop/colours"]
        assert len(copies(open_install)) == 1
        assert sum(record.message == "folder not read" for record in caplog.records) == 1
        assert sum(record.message == "bundle skipped" for record in caplog.records) == 1
    finally:
        path.parent.chmod(0o755)
    path.unlink()
    kept.look()
    assert kept.versions == ["1"]  # new.onsight, which root may read; the other was taken away
    assert [model.manifest.name for model in kept.registry.models] == ["new"]


def test_a_worker_that_starts_while_the_folder_is_away_serves_the_copies(install: Install) -> None:
    install.add_bundle()
    install.add_bundle("shop/goods.onsight", name="goods")
    kept = Kept(install)
    away = install.models.rename(install.models.with_name("away"))
    late = Kept(install)
    assert [model.label for model in late.registry.models] == ["default/colours", "shop/goods"]
    assert set(late.failed.values()) == {("BUNDLE_MALFORMED", True)}
    assert late.registry.get(["default"], "colours").predict(RED).decision.labels == ("red",)
    away.rename(install.models)
    for each in (kept, late):
        each.look()
        assert [model.label for model in each.registry.models] == ["default/colours", "shop/goods"]
        assert each.failed == {}
    assert len(late.built) == 2  # they were the same bundles: nothing was loaded again


def test_keys_that_cannot_be_read_take_nobody_s_trust_away(open_install: Install) -> None:
    open_install.add_bundle()
    kept = Kept(open_install)
    trust_dir = open_install.home.trust_dir
    trust_dir.chmod(0)
    open_install.add_bundle("more.onsight", name="more").chmod(0o644)
    try:
        with as_another_user():
            kept.look()
        assert [model.manifest.name for model in kept.registry.models] == ["colours"]
        (failure,) = kept.registry.failures
        assert (failure.code, str(trust_dir) in failure.reason) == ("KEY_FILE", False)
    finally:
        trust_dir.chmod(0o755)
    assert kept.keeper.look()
    assert [model.manifest.name for model in kept.registry.models] == ["colours", "more"]


def test_an_error_that_nobody_foresaw_costs_one_bundle_and_not_the_others(
    install: Install, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail_for_one(path: Path, trust: TrustStore, opener: Opener | None) -> Bundle:
        if path.name == "a.onsight":
            raise MemoryError
        return load_bundle(path, trust, opener=opener)

    monkeypatch.setattr(verifying, "load_bundle", fail_for_one)
    install.add_bundle("a.onsight")
    install.add_bundle("b.onsight", name="other")
    kept = Kept(install)
    kept.look()
    assert [model.manifest.name for model in kept.registry.models] == ["other"]
    assert kept.failed == {"a.onsight": ("ERROR", False)}
    assert sum(record.exc_info is not None for record in caplog.records) == 1
    monkeypatch.undo()
    kept.look()  # asked by a person, so it is tried again
    assert kept.failed == {}


def test_more_bytes_than_are_held_are_read_twice(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "MAX_HELD_BYTES", 10)
    install.add_bundle()
    assert Kept(install).versions == ["1"]


def test_the_same_failure_is_logged_once_and_a_new_one_again(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install.add_bundle(golden_shift=0.01)
    (install.models / "text.onsight").write_text("no bundle")
    kept = Kept(install)
    for _ in range(3):
        kept.look()
    skipped = [record for record in caplog.records if record.message == "bundle skipped"]
    assert len(skipped) == 2
    (install.models / "text.onsight").write_text("no bundle either")
    kept.look()
    assert sum(record.message == "bundle skipped" for record in caplog.records) == 3


def test_nothing_new_is_not_logged_as_published(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "onsight.server")
    install.add_bundle()
    kept = Kept(install)
    for _ in range(3):
        kept.look()
    assert sum(record.message == "models published" for record in caplog.records) == 1


def test_a_full_disk_costs_the_copy_until_there_is_room(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install.add_bundle()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    kept = Kept(install)
    kept.look()
    assert (kept.versions, copies(install)) == (["1"], [])
    assert sum(record.message == "no copy kept" for record in caplog.records) == 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept.look()
    assert len(copies(install)) == 1


def test_what_a_crash_left_half_copied_is_swept(install: Install) -> None:
    path = install.add_bundle(version="1")
    kept = Kept(install)
    (copy,) = copies(install)
    half = copy.with_name(f".{copy.name}.0123.tmp")
    half.write_bytes(b"half")
    path.unlink()
    install.add_bundle(version="2")
    kept.look()
    assert not half.exists()
    assert len(copies(install)) == 1


def test_a_copy_that_stands_in_for_a_bad_file_may_be_the_highest_of_its_model(install: Install) -> None:
    install.add_bundle("one.onsight", version="1")
    install.add_bundle("two.onsight", version="2")
    kept = Kept(install)
    install.add_bundle("two.onsight", version="9", name="zebra", golden_shift=0.1)  # judged after `colours`
    for each in (kept, Kept(install)):
        each.look()
        assert [(model.manifest.name, model.manifest.version) for model in each.registry.models] == [("colours", "2")]
        open_engines = [engine for engine in each.built if engine not in each.closed]
        assert open_engines == [model.engine for model in each.registry.models]


def test_a_dead_link_among_the_keys_hides_no_change(install: Install) -> None:
    install.add_bundle()
    trust = TrustStore(install.home.trust_dir)
    (install.home.trust_dir / "old.pem").symlink_to("/nonexistent")
    kept = Kept(install)
    trust.remove(install.key.public_key.key_id)
    assert kept.keeper.look()
    assert kept.versions == []


def test_a_version_loaded_by_name_serves_beside_the_highest_which_is_still_followed(install: Install) -> None:
    for version in ("1", "2"):
        install.add_bundle(f"v{version}.onsight", version=version)
    kept = Kept(install)
    assert kept.wishes.load(KEY, "1")
    assert not kept.wishes.load(KEY, "1")
    kept.keeper.look()
    assert kept.versions == ["2", "1"]
    install.add_bundle("v3.onsight", version="3")
    kept.look()
    assert kept.versions == ["3", "1"]
    assert kept.wishes.unload(KEY, "1", kept.versions)
    kept.keeper.look()
    assert kept.versions == ["3"]
    assert kept.wishes.read() == {}


def test_unloading_the_highest_goes_back_to_the_version_beside_it_for_good(install: Install) -> None:
    for version in ("1", "2"):
        install.add_bundle(f"v{version}.onsight", version=version)
    kept = Kept(install)
    kept.wishes.load(KEY, "1")
    kept.keeper.look()
    kept.wishes.unload(KEY, "2", kept.versions)
    kept.keeper.look()
    install.add_bundle("v3.onsight", version="3")
    kept.look()
    assert kept.versions == ["1"]
    assert kept.registry.get(["default"], "colours").manifest.version == "1"
    kept.wishes.load(KEY, None)
    kept.keeper.look()
    assert kept.versions == ["3"]


def test_where_all_versions_serve_one_is_unloaded_alone(install: Install) -> None:
    for version in ("1", "2", "3"):
        install.add_bundle(f"v{version}.onsight", version=version)
    kept = Kept(install, every_version=True)
    kept.wishes.unload(KEY, "2", kept.versions, every_version=True)
    kept.keeper.look()
    assert kept.versions == ["3", "1"]


def test_what_was_unloaded_stays_so_when_the_wishes_can_no_longer_be_read(install: Install) -> None:
    install.add_bundle()
    kept = Kept(install)
    kept.wishes.unload(KEY, None)
    kept.keeper.look()
    kept.wishes.path.write_text("[]")
    kept.look()
    assert kept.versions == []
