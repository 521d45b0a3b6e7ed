"""The engine cache: only what this install sealed for exactly this is handed out, once built, within its bounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.engines.tensorrt.install_key import KEY_BYTES, load_install_key
from server.engines.tensorrt.sealed_cache import ABANDONED_S, Identity, SealedCache, entry_name

PLAN = bytes(range(256)) * 40
IDENTITY: Identity = {"kind": "plan", "onnx_sha256": "ab" * 32, "batch_sizes": [1, 8], "gpu": "NVIDIA L4"}
BUILD = """
import sys, time
from pathlib import Path
from server.engines.tensorrt.install_key import load_install_key
from server.engines.tensorrt.sealed_cache import SealedCache
home, number = Path(sys.argv[1]), sys.argv[2]
cache = SealedCache(home / "engines", load_install_key(home / "key"), 1 << 20)
identity = {"kind": "plan", "model": "one"}
with cache.locked(identity):
    if cache.load(identity) is None:
        (home / f"built-{number}").touch()
        time.sleep(0.3)
        cache.save(identity, b"plan of " + number.encode(), {})
print(cache.load(identity).decode())
"""


@pytest.fixture
def cache(tmp_path: Path) -> SealedCache:
    return SealedCache(tmp_path / "engines", b"k" * KEY_BYTES, 1 << 20)


def files_of(cache: SealedCache, identity: Identity = IDENTITY) -> tuple[Path, Path]:
    plan = cache.folder / entry_name(identity)
    return plan, plan.with_name(plan.name + ".json")


def save(cache: SealedCache, identity: Identity = IDENTITY, payload: bytes = PLAN) -> None:
    with cache.locked(identity):
        cache.save(identity, payload, {"built_at": "2026-01-02T03:04:05Z", "seconds": 12.5})


def test_what_was_kept_comes_back_for_the_same_and_for_nothing_else(cache: SealedCache) -> None:
    assert cache.load(IDENTITY) is None
    save(cache)
    assert cache.load(dict(reversed(IDENTITY.items()))) == PLAN
    for change in ({"gpu": "NVIDIA L40"}, {"batch_sizes": [1, 16]}, {"onnx_sha256": "cd" * 32}, {"kind": "timings"}):
        assert cache.load({**IDENTITY, **change}) is None
    assert all(file.stat().st_mode & 0o077 == 0 for file in (cache.folder, *cache.folder.iterdir()))


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def set_fact(plan: Path, name: str, value: object) -> None:
    sidecar = plan.with_name(plan.name + ".json")
    document = json.loads(sidecar.read_bytes())
    document["facts"][name] = value
    sidecar.write_text(json.dumps(document))


def swap_in_another(plan: Path) -> None:
    """A whole entry, well sealed, of another model, in this one's place."""
    other = {**IDENTITY, "onnx_sha256": "cd" * 32}
    cache = SealedCache(plan.parent, b"k" * KEY_BYTES, 1 << 20)
    save(cache, other, b"the other plan")
    for mine, theirs in zip(files_of(cache), files_of(cache, other), strict=True):
        theirs.replace(mine)


def link_away(plan: Path) -> None:
    moved = plan.parent.parent / "elsewhere"
    plan.rename(moved)
    plan.symlink_to(moved)


def make_fifo(plan: Path) -> None:
    plan.unlink()
    os.mkfifo(plan)


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(flip, id="a bit of the plan"),
        pytest.param(lambda plan: plan.write_bytes(PLAN[:-1]), id="the plan is cut"),
        pytest.param(lambda plan: plan.write_bytes(b""), id="the plan is empty"),
        pytest.param(lambda plan: plan.with_name(plan.name + ".json").write_text("{"), id="the sidecar is half"),
        pytest.param(lambda plan: plan.with_name(plan.name + ".json").write_text("[" * 50_000), id="the sidecar nests"),
        pytest.param(lambda plan: plan.with_name(plan.name + ".json").write_text("[]"), id="the sidecar is a list"),
        pytest.param(lambda plan: plan.with_name(plan.name + ".json").write_bytes(b"\xff" * 99), id="it is no text"),
        pytest.param(lambda plan: plan.with_name(plan.name + ".json").write_text(" " * 70_000), id="it is too long"),
        pytest.param(lambda plan: set_fact(plan, "seconds", 1), id="a fact of the sidecar"),
        pytest.param(swap_in_another, id="another entry in its place"),
        pytest.param(link_away, id="a link"),
        pytest.param(make_fifo, id="a pipe"),
    ],
)
def test_an_entry_that_was_touched_is_as_good_as_absent(
    tamper: Callable[[Path], object], cache: SealedCache, caplog: pytest.LogCaptureFixture
) -> None:
    save(cache)
    plan, _ = files_of(cache)
    tamper(plan)
    assert cache.load(IDENTITY) is None
    assert [record.message for record in caplog.records] == ["engine cache entry not used"]
    if not plan.is_fifo():
        save(cache)
        assert cache.load(IDENTITY) == PLAN


def test_an_entry_of_another_install_is_not_used(cache: SealedCache) -> None:
    save(SealedCache(cache.folder, b"x" * KEY_BYTES, 1 << 20))
    assert cache.load(IDENTITY) is None


def test_an_entry_half_written_by_a_crash_is_none_and_is_swept_when_it_is_old(cache: SealedCache) -> None:
    save(cache)
    plan, sidecar = files_of(cache)
    sidecar.unlink()  # the plan was written, and the machine lost power
    assert cache.load(IDENTITY) is None
    half = cache.folder / f".{plan.name}.0123456789abcdef.tmp"
    orphan = cache.folder / "plan-of-nothing.json"
    for file in (half, orphan):
        file.write_bytes(b"half")
    save(cache)
    assert half.exists(), "somebody may be writing it"
    assert not orphan.exists()
    os.utime(half, (time.time() - 2 * ABANDONED_S,) * 2)
    save(cache)
    assert not half.exists()
    assert cache.load(IDENTITY) == PLAN


def test_the_entry_used_longest_ago_goes_when_the_cache_is_full(tmp_path: Path) -> None:
    clock = iter(range(1000, 100_000, 10))
    cache = SealedCache(tmp_path / "engines", b"k" * KEY_BYTES, 3 * len(PLAN), lambda: float(next(clock)))
    identities = [{**IDENTITY, "model": number} for number in range(4)]
    for identity in identities[:3]:
        save(cache, identity)
    assert cache.load(identities[0]) == PLAN  # used again: the second is the oldest now
    save(cache, identities[3])
    assert [cache.load(identity) is not None for identity in identities] == [True, False, True, True]
    assert not any(file.exists() for file in files_of(cache, identities[1]))
    plans = [file for file in cache.folder.iterdir() if file.name.startswith("plan-") and file.suffix != ".json"]
    assert sum(file.stat().st_size for file in plans) <= cache.max_bytes


def test_an_entry_that_somebody_uses_is_not_swept_and_one_beyond_the_bound_is_not_kept(tmp_path: Path) -> None:
    cache = SealedCache(tmp_path / "engines", b"k" * KEY_BYTES, 2 * len(PLAN))
    used, other = ({**IDENTITY, "model": name} for name in ("used", "other"))
    save(cache, used)
    with cache.locked(used):
        save(cache, other, PLAN + PLAN)
        assert cache.load(used) == PLAN
    with pytest.raises(OSError, match="the whole cache may have"):
        save(cache, IDENTITY, PLAN * 3)
    assert cache.load(IDENTITY) is None


def test_a_lock_that_is_a_link_is_not_followed(cache: SealedCache, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    with cache.locked(IDENTITY):
        (lock,) = cache.folder.glob("lock-*")
    lock.unlink()
    lock.symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"), cache.locked(IDENTITY):
        pass
    assert victim.read_text() == "precious"


def test_whoever_comes_second_waits_and_says_so(cache: SealedCache) -> None:
    waiting, got = threading.Event(), threading.Event()

    def second() -> None:
        with cache.locked(IDENTITY, waiting.set):
            got.set()

    with cache.locked(IDENTITY):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(20)
        assert not got.is_set()
        with cache.locked({**IDENTITY, "kind": "timings"}):
            pass  # another kind never waits for this one
    assert got.wait(20)
    thread.join()


def test_processes_that_start_together_build_once_and_share_key_and_plan(tmp_path: Path) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", BUILD, str(tmp_path), str(number)], stdout=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    answers = [process.communicate(timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 4
    assert len(set(answers)) == 1
    assert len(list(tmp_path.glob("built-*"))) == 1


# ---- the key


def test_the_key_is_random_private_and_stays(tmp_path: Path) -> None:
    key = load_install_key(tmp_path / "home" / "key")
    assert len(key) == KEY_BYTES
    assert key != load_install_key(tmp_path / "other" / "key")
    assert key == load_install_key(tmp_path / "home" / "key")
    assert (tmp_path / "home" / "key").stat().st_mode & 0o777 == 0o600


def test_a_key_that_appears_while_another_is_to_be_made_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, others = tmp_path / "key", []
    make_folder = Path.mkdir

    def mkdir(folder: Path, *arguments: int, **named: Any) -> None:  # what comes right after the first look
        make_folder(folder, *arguments, **named)
        if not others:
            others.append(b"k" * KEY_BYTES)
            path.touch(mode=0o600)
            path.write_bytes(others[0])

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert load_install_key(path) == others[0] == path.read_bytes()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_could_read_is_replaced_and_what_it_sealed_with_it(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "key"
    known = load_install_key(path)
    save(SealedCache(tmp_path / "engines", known, 1 << 20))
    path.chmod(mode)
    fresh = load_install_key(path)
    assert fresh != known
    assert path.stat().st_mode & 0o777 == 0o600
    assert SealedCache(tmp_path / "engines", fresh, 1 << 20).load(IDENTITY) is None


@pytest.mark.parametrize("content", [b"", b"short", b"k" * (KEY_BYTES + 1)])
def test_a_broken_key_is_replaced(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    assert load_install_key(path) not in (content, content[:KEY_BYTES])


def test_a_link_in_the_key_s_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target, path = tmp_path / "known", tmp_path / "key"
    target.write_bytes(b"k" * KEY_BYTES)
    target.chmod(0o600)
    path.symlink_to(target)
    assert load_install_key(path) != b"k" * KEY_BYTES
    assert not path.is_symlink()
    assert target.read_bytes() == b"k" * KEY_BYTES


def test_a_key_of_another_user_is_not_used(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root, to give a file away")
    path = tmp_path / "key"
    path.write_bytes(b"k" * KEY_BYTES)
    path.chmod(0o600)
    os.chown(path, 65534, 65534)
    assert load_install_key(path) != b"k" * KEY_BYTES
    assert path.stat().st_uid == 0
