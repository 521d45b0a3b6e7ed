"""The feature pass: every image once, whatever the files are like and whatever ends it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bundle.manifest import PreprocessSpec
from bundle.preprocess import preprocess
from trainer.backbone import BackboneSpec, read_backbone_spec
from trainer.data import fingerprint
from trainer.encoders import backbone_encoder, pixel_encoder
from trainer.feature_cache import FeatureCache
from trainer.features import ImageTable, extract, sample_paths

SPEC = PreprocessSpec(height=16, width=16)


def means(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.mean((1, 2)).astype(np.float32)  # (n,H,W,3) -> (n,3)


def never(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    raise AssertionError(f"{len(images)} images were encoded again")


@pytest.fixture
def paths(own_shapes: Path) -> list[str]:
    return sorted(str(path.relative_to(own_shapes)) for path in own_shapes.rglob("*.png"))


@pytest.fixture
def run_pass(own_shapes: Path, tmp_path: Path) -> Callable[..., ImageTable]:
    """A pass over own_shapes with the cache opened anew, as another process would."""

    def run(paths: list[str], encode: object = means, **options: object) -> ImageTable:
        cache = FeatureCache(tmp_path / "features")
        return extract(own_shapes, paths, SPEC, encode, cache, **{"workers": 2, **options})  # type: ignore[arg-type]

    return run


def test_rows_stand_in_the_order_asked_for_with_the_digest_features_and_look_of_each_image(
    own_shapes: Path, paths: list[str], run_pass: Callable[..., ImageTable]
) -> None:
    asked = paths[::-1]
    table = run_pass(asked)
    assert table.computed == len(asked)
    assert table.unreadable == {}
    for number in (0, 5, len(asked) - 1):
        data = (own_shapes / asked[number]).read_bytes()
        image = preprocess(data, SPEC)
        assert table.sha256[number] == hashlib.sha256(data).hexdigest()
        assert np.array_equal(table.features[number], means(image[None])[0])
        assert np.array_equal(table.fingerprints[number], fingerprint(image))


def test_the_number_of_workers_changes_nothing(
    own_shapes: Path, paths: list[str], run_pass: Callable[..., ImageTable], tmp_path: Path
) -> None:
    one = extract(own_shapes, paths, SPEC, means, FeatureCache(tmp_path / "one"), workers=1)
    many = run_pass(paths, workers=7)
    assert one.sha256 == many.sha256
    assert np.array_equal(one.features, many.features)
    assert np.array_equal(one.fingerprints, many.fingerprints)


def test_a_second_pass_computes_nothing_and_gives_the_same(
    paths: list[str], run_pass: Callable[..., ImageTable]
) -> None:
    first = run_pass(paths)
    second = run_pass(paths, never)
    assert second.computed == 0
    assert np.array_equal(first.features, second.features)
    assert np.array_equal(first.fingerprints, second.fingerprints)
    assert first.sha256 == second.sha256


def test_only_what_is_new_is_computed(paths: list[str], run_pass: Callable[..., ImageTable]) -> None:
    run_pass(paths[:30])
    assert run_pass(paths).computed == len(paths) - 30


def test_a_file_that_changes_between_passes_gets_new_features(
    own_shapes: Path, paths: list[str], run_pass: Callable[..., ImageTable]
) -> None:
    before = run_pass(paths)
    (own_shapes / paths[3]).write_bytes((own_shapes / paths[40]).read_bytes())
    after = run_pass(paths, never)  # the other file's features are known
    assert np.array_equal(after.features[3], before.features[40])
    assert not np.array_equal(after.features[3], before.features[3])
    assert after.sha256[3] == before.sha256[40]


def test_the_same_image_under_two_names_is_kept_once(
    own_shapes: Path, paths: list[str], run_pass: Callable[..., ImageTable], tmp_path: Path
) -> None:
    twin = str(Path(paths[0]).with_name("twin.png"))
    (own_shapes / twin).write_bytes((own_shapes / paths[0]).read_bytes())
    table = run_pass([paths[0], twin, *paths[1:9], paths[0]])
    assert np.array_equal(table.features[0], table.features[1])
    assert np.array_equal(table.features[0], table.features[-1])
    index_rows = sum(len(np.load(path)) for path in (tmp_path / "features").glob("*.index.npy"))
    assert index_rows == len(FeatureCache(tmp_path / "features")) == 9


def test_files_that_cannot_be_read_are_reported_with_a_reason_and_the_rest_goes_on(
    own_shapes: Path, paths: list[str], run_pass: Callable[..., ImageTable]
) -> None:
    (own_shapes / paths[1]).write_bytes(b"")
    (own_shapes / paths[2]).write_bytes((own_shapes / paths[2]).read_bytes()[:200])
    (own_shapes / paths[3]).write_text("no image")
    (own_shapes / paths[4]).unlink()
    for _ in range(2):  # again: what could not be read is not remembered as if it had been
        table = run_pass(paths)
        assert list(table.unreadable) == paths[1:5]
        assert all(table.unreadable.values())
        assert table.sha256[1:5] == ("",) * 4
        assert not table.features[1:5].any()
        assert table.features[5:].any(1).all()


def test_a_file_that_memory_could_not_hold_is_reported_without_being_read(
    own_shapes: Path, paths: list[str], run_pass: Callable[..., ImageTable]
) -> None:
    with (own_shapes / "huge.png").open("wb") as file:
        file.truncate(1 << 40)  # a TiB of nothing, which take no room
    table = run_pass([*paths, "huge.png"])
    assert list(table.unreadable) == ["huge.png"]
    assert str(1 << 40) in table.unreadable["huge.png"]
    assert table.computed == len(paths)


def test_a_shard_of_large_images_is_written_before_it_fills_the_memory(
    paths: list[str], run_pass: Callable[..., ImageTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.features.SHARD_BYTES", 3 * 16 * 16 * 3)
    run_pass(paths[:9], lambda images: images)
    assert len(list((tmp_path / "features").glob("*.index.npy"))) == 3


def test_a_pass_over_nothing_that_can_be_read_gives_empty_rows(
    own_shapes: Path, paths: list[str], run_pass: Callable[..., ImageTable]
) -> None:
    for path in paths[:4]:
        (own_shapes / path).write_text("no image")
    table = run_pass(paths[:4])
    assert len(table.features) == 4
    assert len(table.unreadable) == 4


def test_an_interrupted_pass_keeps_what_it_told_of(
    paths: list[str], run_pass: Callable[..., ImageTable], tmp_path: Path
) -> None:
    def interrupt(done: int, _total: int) -> None:
        if done >= 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_pass(paths, progress=interrupt)
    kept = len(FeatureCache(tmp_path / "features"))
    assert 40 <= kept < len(paths)
    assert run_pass(paths).computed == len(paths) - kept


@pytest.mark.parametrize("setting", ["SHARD_S", "SHARD_IMAGES"])
def test_features_are_written_while_the_pass_goes_on(
    paths: list[str],
    run_pass: Callable[..., ImageTable],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    setting: str,
) -> None:
    monkeypatch.setattr(f"trainer.features.{setting}", 0)
    kept: list[int] = []
    run_pass(paths[:20], progress=lambda _done, _total: kept.append(len(FeatureCache(tmp_path / "features"))))
    assert kept == [4, 8, 12, 16, 20]


def test_an_encoder_that_fails_ends_the_pass_with_its_own_error(
    paths: list[str], run_pass: Callable[..., ImageTable]
) -> None:
    def fail(_images: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run_pass(paths, fail)


def test_progress_reaches_the_total(paths: list[str], run_pass: Callable[..., ImageTable]) -> None:
    told: list[tuple[int, int]] = []
    run_pass(paths, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(paths), len(paths))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_large_table_lies_in_a_file_and_holds_the_same(
    paths: list[str], run_pass: Callable[..., ImageTable], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    in_memory = run_pass(paths)
    monkeypatch.setattr("trainer.features.MEMORY_LIMIT_BYTES", 16)
    on_disk = run_pass(paths)
    assert isinstance(on_disk.features, np.memmap)
    assert np.array_equal(in_memory.features, on_disk.features)
    assert not [path for path in (tmp_path / "features").iterdir() if path.suffix != ".npy"]  # it has no name


def test_a_sample_is_spread_evenly() -> None:
    paths = [f"{number:03d}" for number in range(100)]
    assert sample_paths(paths, 5) == ["000", "024", "049", "074", "099"]
    assert sample_paths(paths[:3], 5) == paths[:3]


def test_another_size_or_way_of_resizing_has_another_cache(tmp_path: Path) -> None:
    specs = [SPEC, PreprocessSpec(height=16, width=24), SPEC.model_copy(update={"resize": "center_crop"})]
    folders = {pixel_encoder(spec, tmp_path).cache.folder for spec in specs}
    assert len(folders) == 3
    assert pixel_encoder(SPEC, tmp_path).cache.folder in folders


def test_the_pixel_encoder_gives_the_preprocessed_images(own_shapes: Path, paths: list[str], tmp_path: Path) -> None:
    encoder = pixel_encoder(SPEC, tmp_path / "cache")
    table = extract(own_shapes, paths[:5], SPEC, encoder.encode, encoder.cache, workers=1)
    assert table.features.dtype == np.uint8
    assert np.array_equal(table.features[2], preprocess((own_shapes / paths[2]).read_bytes(), SPEC))


@pytest.mark.slow
def test_another_backbone_has_another_cache_and_a_damaged_graph_is_built_again(
    backbone: Path, own_shapes: Path, paths: list[str], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    spec = read_backbone_spec(backbone)
    size = PreprocessSpec(height=spec.height, width=spec.width)
    first = backbone_encoder(spec, size, cache)
    other = BackboneSpec(**{**spec.__dict__, "mean": (0.1, 0.1, 0.1)})
    (graph,) = (cache / "encoders").iterdir()
    whole = graph.read_bytes()
    images = np.stack([preprocess((own_shapes / path).read_bytes(), size) for path in paths[:3]])
    expected = first.encode(images)
    data = bytearray(whole)
    data[len(data) // 2] ^= 0x40
    graph.write_bytes(data)
    again = backbone_encoder(spec, size, cache)
    assert graph.read_bytes() == whole
    assert np.array_equal(again.encode(images), expected)
    assert again.cache.folder == first.cache.folder
    assert backbone_encoder(other, size, cache).cache.folder != first.cache.folder
