"""Golden inputs are read without trust in their form, and a model that answers differently is refused."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable

import numpy as np
import pytest

from bundle.errors import GoldenMismatch, MalformedBundle
from bundle.golden import Golden, replay_golden
from bundle.manifest import Manifest
from bundle.preprocess import preprocess


def arrays_of(golden: Golden) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(golden.to_bytes()), allow_pickle=False) as archive:
        return dict(archive)


def packed(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def test_golden_inputs_come_back_as_they_were(golden: Golden):
    again = Golden.from_bytes(golden.to_bytes())
    assert again.images == golden.images
    np.testing.assert_array_equal(again.probabilities, golden.probabilities)
    np.testing.assert_array_equal(again.logits, golden.logits)
    assert again.to_bytes() == golden.to_bytes()


def test_arrays_that_do_not_fit_each_other_are_refused(golden: Golden):
    arrays = arrays_of(golden)
    count = len(arrays["images"])
    changes: list[dict[str, np.ndarray]] = [
        {"offsets": np.array([0, 5, 3, count])},
        {"offsets": np.array([0, 5, count + 1])},
        {"offsets": np.array([0, 0, count])},
        {"offsets": np.array([1, 5, count])},
        {"offsets": np.array([-5, 5, count])},
        {"offsets": np.array([0, count])},
        {"offsets": np.array([0])},
        {"offsets": arrays["offsets"].astype(np.float64)},
        {"offsets": arrays["offsets"][None]},
        {"images": arrays["images"][None]},
        {"images": arrays["images"].astype(np.int8)},
        {"logits": arrays["logits"][:1]},
        {"logits": arrays["logits"][:, :2]},
        {"logits": np.full_like(arrays["logits"], np.inf)},
        {"logits": arrays["logits"].astype(np.float64)},
        {"logits": np.asfortranarray(arrays["logits"])},
        {"probabilities": arrays["probabilities"] + np.float32(1)},
        {"probabilities": np.full_like(arrays["probabilities"], np.nan)},
        {"probabilities": arrays["probabilities"].astype(">f4")},
        {"more": np.zeros(1)},
    ]
    assert Golden.from_bytes(packed(**arrays))
    for change in changes:
        with pytest.raises(MalformedBundle, match="golden inputs: expected"):
            Golden.from_bytes(packed(**{**arrays, **change}))


def test_a_pickle_is_never_opened(golden: Golden):
    class Bomb:
        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return pytest.fail, ("a pickle was executed",)

    arrays = arrays_of(golden)
    out = io.BytesIO()
    objects = np.empty(2, object)
    objects[:] = [Bomb(), Bomb()]
    np.savez(out, **{**arrays, "logits": objects})
    with pytest.raises(MalformedBundle):
        Golden.from_bytes(out.getvalue())
    with zipfile.ZipFile(out := io.BytesIO(), "w") as archive:
        for name in arrays:
            archive.writestr(f"{name}.npy", pickle.dumps(Bomb()))
    with pytest.raises(MalformedBundle):
        Golden.from_bytes(out.getvalue())


def test_compressed_cut_and_foreign_files_are_refused(golden: Golden):
    out = io.BytesIO()
    np.savez_compressed(out, **{**arrays_of(golden), "images": np.zeros(10_000_000, np.uint8)})
    data = golden.to_bytes()
    for wrong in (out.getvalue(), b"", b"PK", data[:-1], data[: len(data) // 2], b"hello" * 100):
        with pytest.raises(MalformedBundle):
            Golden.from_bytes(wrong)


def test_an_array_that_claims_to_be_huge_takes_no_memory(golden: Golden):
    out = io.BytesIO()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**40, 3)})
    with zipfile.ZipFile(io.BytesIO(golden.to_bytes())) as source, zipfile.ZipFile(out, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, header.getvalue() if name == "logits.npy" else source.read(name))
    with pytest.raises(MalformedBundle):
        Golden.from_bytes(out.getvalue())


def replaying(golden: Golden, shift: float = 0.0) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """A model that recognises the golden images and answers as recorded, plus `shift` for the second class."""
    batches = iter(range(0, len(golden.images), 16))

    def infer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        start = next(batches)
        assert images.dtype == np.uint8
        assert images.flags.c_contiguous
        probabilities = golden.probabilities[start : start + len(images)].copy()
        probabilities[:, 1] += np.float32(shift)
        return probabilities, golden.logits[start : start + len(images)]

    return infer


def test_a_model_that_answers_as_recorded_passes(golden: Golden, manifest: Manifest):
    assert replay_golden(golden, manifest, replaying(golden)) == 0
    assert replay_golden(golden, manifest, replaying(golden, 5e-4)) == pytest.approx(5e-4, abs=1e-6)


def test_a_model_that_answers_differently_is_refused(golden: Golden, manifest: Manifest):
    with pytest.raises(GoldenMismatch, match=r"within 0\.001 .* difference of 0\.002"):
        replay_golden(golden, manifest, replaying(golden, 2e-3))
    assert replay_golden(golden, manifest, replaying(golden, 2e-3), tolerance=0.01) == pytest.approx(2e-3, abs=1e-6)


def test_the_model_gets_the_preprocessed_images_in_order(golden: Golden, manifest: Manifest):
    seen: list[np.ndarray] = []

    def infer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.extend(images)
        return golden.probabilities, golden.logits

    replay_golden(golden, manifest, infer)
    assert len(seen) == len(golden.images)
    for image, data in zip(seen, golden.images, strict=True):
        np.testing.assert_array_equal(image, preprocess(data, manifest.preprocessing))


def test_many_golden_images_go_through_in_batches_of_sixteen(golden: Golden, manifest: Manifest):
    many = Golden(golden.images * 20, np.tile(golden.probabilities, (20, 1)), np.tile(golden.logits, (20, 1)))
    sizes: list[int] = []
    answer = replaying(many)

    def infer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sizes.append(len(images))
        return answer(images)

    assert replay_golden(many, manifest, infer) == 0
    assert sizes == [16, 16, 8]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_undefined_scores_are_refused(golden: Golden, manifest: Manifest, value: float):
    wrong = np.full_like(golden.logits, value)
    with pytest.raises(GoldenMismatch, match="finite"):
        replay_golden(golden, manifest, lambda images: (golden.probabilities, wrong))
    with pytest.raises(GoldenMismatch, match="finite"):
        replay_golden(golden, manifest, lambda images: (wrong, golden.logits))


def test_scores_for_another_number_of_classes_are_refused(
    golden: Golden, manifest: Manifest, make_manifest: Callable[..., Manifest]
):
    with pytest.raises(GoldenMismatch, match="shape"):
        replay_golden(golden, manifest, lambda images: (golden.probabilities[:, :2], golden.logits))
    with pytest.raises(GoldenMismatch, match="2 classes"):
        replay_golden(golden, make_manifest(labels=["a", "b"], thresholds=[0, 0]), replaying(golden))


def test_a_golden_image_that_cannot_be_read_is_the_bundles_fault(golden: Golden, manifest: Manifest):
    broken = Golden((golden.images[0], b"no image"), golden.probabilities, golden.logits)
    with pytest.raises(GoldenMismatch, match="found something else"):
        replay_golden(broken, manifest, replaying(golden))
