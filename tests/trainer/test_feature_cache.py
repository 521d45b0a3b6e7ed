"""The feature cache: what it gives back is what was put in, or nothing."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from trainer.feature_cache import FeatureCache, cache_key

WIDTH, PRINT = 5, 3


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def row(number: int) -> np.ndarray:
    return np.full(WIDTH, number + 0.5, np.float32)


def write(cache: FeatureCache, numbers: range) -> None:
    features = np.stack([row(n) for n in numbers])
    prints = np.stack([np.full(PRINT, n % 256, np.uint8) for n in numbers])
    cache.append([digest(n) for n in numbers], features, prints)


def wrong_rows(cache: FeatureCache, numbers: range) -> list[int]:
    """Numbers that the cache claims to hold and gives back changed."""
    return [
        n
        for n in numbers
        if digest(n) in cache
        and not (np.array_equal(cache.feature(digest(n)), row(n)) and (cache.fingerprint(digest(n)) == n % 256).all())
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    write(FeatureCache(folder), range(8))
    return folder


def part(folder: Path, name: str) -> Path:
    (path,) = folder.glob(f"*.{name}.npy")
    return path


def test_rows_come_back_in_a_new_process_as_they_were_written(folder: Path) -> None:
    cache = FeatureCache(folder)
    assert len(cache) == 8
    assert all(digest(n) in cache for n in range(8))
    assert digest(8) not in cache
    assert not wrong_rows(cache, range(8))


@pytest.mark.parametrize("name", ["features", "prints", "index"])
def test_a_shard_that_was_cut_off_is_not_used_at_any_length(folder: Path, tmp_path: Path, name: str) -> None:
    whole = part(folder, name).read_bytes()
    for length in (0, 1, 7, 60, 128, len(whole) - 1):
        copy = Path(shutil.copytree(folder, tmp_path / f"cut-{length}"))
        part(copy, name).write_bytes(whole[:length])
        cache = FeatureCache(copy)
        assert not any(digest(n) in cache for n in range(8)), f"{name} of {length} bytes"


@pytest.mark.parametrize("name", ["features", "prints", "index"])
def test_a_changed_byte_anywhere_in_a_shard_never_gives_a_wrong_row(folder: Path, tmp_path: Path, name: str) -> None:
    whole = part(folder, name).read_bytes()
    refused = 0
    for position in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[position] ^= 0x01 if position % 2 else 0x80
        part(folder, name).write_bytes(changed)
        copy = Path(shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True))
        cache = FeatureCache(copy)
        assert not wrong_rows(cache, range(8)), f"byte {position} of {name}"
        refused += not all(digest(n) in cache for n in range(8))
        shutil.rmtree(copy)
    assert refused > len(whole) // 6  # the rest is the header's padding


def test_a_damaged_shard_is_gone_for_the_next_process_and_its_rows_can_be_written_again(folder: Path) -> None:
    features = part(folder, "features")
    data = bytearray(features.read_bytes())
    data[-1] ^= 0xFF  # the last row
    features.write_bytes(data)
    cache = FeatureCache(folder)
    assert digest(7) not in cache
    write(cache, range(7, 8))
    assert digest(7) in cache
    again = FeatureCache(folder)
    assert digest(7) in again
    assert not wrong_rows(again, range(8))


@pytest.mark.parametrize("name", ["features", "prints"])
def test_a_shard_that_lost_a_file_does_not_exist(folder: Path, name: str) -> None:
    part(folder, name).unlink()
    assert len(FeatureCache(folder)) == 0


def test_a_shard_whose_files_are_of_two_lengths_is_not_used(folder: Path, tmp_path: Path) -> None:
    write(FeatureCache(tmp_path / "other"), range(3))
    shutil.copy(part(tmp_path / "other", "features"), part(folder, "features"))
    assert not any(digest(n) in FeatureCache(folder) for n in range(8))


def test_two_processes_write_the_same_and_different_rows_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from test_feature_cache import FeatureCache, write
        for start in range(int(sys.argv[2]), 200, 10):
            write(FeatureCache(Path(sys.argv[1])), range(start, start + 10))
    """)
    command = [sys.executable, "-c", program, str(folder)]
    path = {"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[2]}", "PATH": "/usr/bin:/bin"}
    started = [subprocess.Popen([*command, shift], env=path) for shift in ("0", "5")]
    assert [process.wait(60) for process in started] == [0, 0]
    cache = FeatureCache(folder)
    assert all(digest(n) in cache for n in range(205))
    assert not wrong_rows(cache, range(205))
    assert not list(folder.glob(".*"))  # no temporary file is left


def test_a_cache_of_more_shards_than_a_process_may_open_files_keeps_every_row(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import resource, sys
        from pathlib import Path
        from test_feature_cache import FeatureCache, digest, write, wrong_rows
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        folder = Path(sys.argv[1])
        cache = FeatureCache(folder)
        for n in range(300):
            write(cache, range(n, n + 1))
        for held in (cache, FeatureCache(folder)):
            assert len(held) == 300 and not wrong_rows(held, range(300))
    """)
    path = {"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[2]}", "PATH": "/usr/bin:/bin"}
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_a_key_tells_its_parts_apart() -> None:
    assert cache_key("ab", "c") != cache_key("a", "bc")
    assert cache_key("a") == cache_key("a")
