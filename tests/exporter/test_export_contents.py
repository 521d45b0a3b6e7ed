"""What stands in a bundle, and what does not: paths of this machine, large images, figures that nobody measured."""

from __future__ import annotations

import getpass
import hashlib
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onsight_process import command_environment
from PIL import Image
from tiny_runs import EXPORTED_AT, TinyRun

from bundle.archive import read_archive
from bundle.golden import Golden
from bundle.home import OnsightHome
from bundle.keys import SigningKey
from bundle.manifest import Manifest, Task, parse_manifest
from exporter.card import render_card
from exporter.errors import ExportError
from exporter.evidence import (
    GOLDEN_BYTES,
    GOLDEN_EDGE,
    GOLDEN_IMAGES,
    PARITY_IMAGES,
    gather_evidence,
    golden_bytes,
)
from exporter.export import export_run
from trainer.data import Split
from trainer.report.glossary import glossary
from trainer.report.views import metric_name
from trainer.statistics import models_from_json

BUNDLES = ["single_bundle", pytest.param("multi_bundle", marks=pytest.mark.slow)]


def manifest_of(bundle: Path) -> Manifest:
    return parse_manifest(read_archive(bundle)["manifest.json"])


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_bundle_holds_no_path_of_the_machine_that_made_it(bundle: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(bundle)
    run: TinyRun = request.getfixturevalue(bundle.replace("bundle", "run"))
    root = Path(__file__).parents[2]
    private = {str(run.folder.parent), str(run.images), str(root), str(Path.home()), sys.prefix}
    private |= {"site-packages", "/exporter/", "/trainer/", "/tmp/", "onnx_graph"} - {""}
    for name, data in read_archive(path).items():
        if name != "golden.npz":  # images, in which chance may spell anything
            for text in private:
                assert text.encode() not in data, f"{name} holds {text}"
    assert f"/{getpass.getuser()}/".encode() not in path.read_bytes()


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_manifest_says_what_the_run_measured(bundle: str, request: pytest.FixtureRequest) -> None:
    manifest = manifest_of(request.getfixturevalue(bundle))
    run = request.getfixturevalue(bundle.replace("bundle", "run")).run
    statistics = models_from_json(run.statistics_path.read_text())["best"]
    snapshot = run.snapshot()
    assert manifest.created_at == "2026-01-02T03:04:05Z"
    assert manifest.name == request.getfixturevalue(bundle).stem
    assert manifest.labels == snapshot.labels
    assert manifest.calibration == statistics.calibration
    assert manifest.unknown == statistics.unknown
    assert manifest.thresholds == statistics.thresholds.values
    assert manifest.dataset.snapshot_sha256 == snapshot.sha256_digest
    assert manifest.dataset.label_counts == snapshot.label_counts(Split.TRAIN)
    assert {split: dict(result.metrics) for split, result in statistics.splits.items()} == manifest.metrics
    assert manifest.model_id == hashlib.sha256(read_archive(request.getfixturevalue(bundle))["model.onnx"]).hexdigest()


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_card_says_what_the_manifest_says(bundle: str, request: pytest.FixtureRequest) -> None:
    manifest = manifest_of(request.getfixturevalue(bundle))
    several = manifest.task is Task.MULTI_LABEL
    card = read_archive(request.getfixturevalue(bundle))["card.md"].decode()
    assert card == render_card(manifest)
    assert card.startswith(f"# {manifest.name} 1\n")
    rows = {
        cells[1].strip(): cells[2:-1] for cells in (line.split("|") for line in card.splitlines()) if len(cells) > 3
    }
    for split, metrics in manifest.metrics.items():
        place = [cell.strip() for cell in rows[""]].index(split)
        for name, estimate in metrics.items():
            cell = rows[metric_name(name, glossary(manifest.task))][place].strip()
            assert float(cell.split()[0]) == pytest.approx(estimate.value, abs=5e-4)
            if estimate.low is not None and estimate.high is not None:
                low, high = map(float, re.findall(r"\((\S+) to (\S+)\)", cell)[0])
                assert (low, high) == pytest.approx((estimate.low, estimate.high), abs=5e-4)
    assert not {"f1 macro", "f1_macro", "mcc", "mcc macro", "mean average precision"} & rows.keys()
    assert {"F1, macro", "Matthews correlation, macro" if several else "Matthews correlation"} <= rows.keys()
    for label, threshold in zip(manifest.labels, manifest.thresholds, strict=True):
        images, *written = (cell.strip() for cell in rows[label])
        assert int(images) == manifest.dataset.label_counts[label]
        assert [float(cell) for cell in written] == pytest.approx([threshold] if several else [], abs=5e-4)
    assert ("any number of labels an image" in card) is several
    assert ("one label an image" in card) is not several


def test_a_label_cannot_break_the_cards_table(single_bundle: Path) -> None:
    manifest = manifest_of(single_bundle)
    label = "a | b\n# headline"
    facts = manifest.dataset.model_copy(update={"label_counts": {label: 7}})
    card = render_card(manifest.model_copy(update={"labels": (label, "c", "d"), "dataset": facts}))
    assert r"| a \| b # headline | 7 |" in card.splitlines()


def test_others_words_are_neither_links_nor_pictures_nor_html_on_the_card(single_bundle: Path) -> None:
    manifest = manifest_of(single_bundle)
    labels = ("![x](http://b/x.png)", "<img src=//b>", "`c` \\")
    facts = manifest.dataset.model_copy(update={"label_counts": dict.fromkeys(labels, 1)})
    card = render_card(manifest.model_copy(update={"labels": labels, "dataset": facts})).splitlines()
    shown = (r"| !\[x](http://b/x.png) | 1 |", r"| \<img src=//b> | 1 |", r"| \`c\` \\ | 1 |")
    assert {*shown} <= {*card}


def test_the_card_tells_how_to_read_a_reliability_diagram_and_speaks_of_unknown_where_the_model_does(
    single_bundle: Path,
) -> None:
    manifest = manifest_of(single_bundle)
    card = render_card(manifest)
    assert re.search(r"!\[[^]]+\]\(card-reliability\.svg\)\n\nA bar for each range of confidence", card)
    assert "that it does not call unknown" in card
    assert "call unknown" not in render_card(manifest.model_copy(update={"unknown": None}))


@pytest.mark.parametrize("bundle", BUNDLES)
def test_golden_inputs_are_held_out_images_of_every_label(bundle: str, request: pytest.FixtureRequest) -> None:
    run: TinyRun = request.getfixturevalue(bundle.replace("bundle", "run"))
    snapshot = run.run.snapshot()
    golden = Golden.from_bytes(read_archive(request.getfixturevalue(bundle))["golden.npz"])
    rows = [snapshot.sha256.index(hashlib.sha256(image).hexdigest()) for image in golden.images]
    assert len(rows) == len(set(rows)) == GOLDEN_IMAGES
    assert (snapshot.splits[rows] == 2).all()
    assert snapshot.label_matrix[rows].any(axis=0).all()


def test_the_proof_takes_held_out_images_first_and_training_images_last(single_run: TinyRun) -> None:
    snapshot, spec = single_run.run.snapshot(), single_run.run.model().preprocessing
    evidence = gather_evidence(snapshot, single_run.images, spec, PARITY_IMAGES)
    splits = snapshot.splits[evidence.rows].tolist()
    assert splits == sorted(splits, reverse=True)
    assert len(evidence.rows) == len(evidence.image_bytes) == len(evidence.images) == PARITY_IMAGES
    assert {splits.count(2), splits.count(1)} == {18}


def large_photo() -> Image.Image:
    random = np.random.default_rng(1)
    return Image.fromarray(random.integers(0, 256, (900, 1400, 3), dtype=np.uint8))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP"])
def test_a_large_golden_image_is_made_smaller_and_keeps_its_shape(file_format: str) -> None:
    buffer = io.BytesIO()
    large_photo().save(buffer, file_format)
    assert len(buffer.getvalue()) > GOLDEN_BYTES
    with Image.open(io.BytesIO(golden_bytes(buffer.getvalue()))) as image:
        assert image.format == "JPEG"
        assert image.size == (GOLDEN_EDGE, round(GOLDEN_EDGE * 900 / 1400))


def test_a_small_golden_image_stays_as_it_is() -> None:
    buffer = io.BytesIO()
    large_photo().resize((64, 48)).save(buffer, "WEBP")
    assert golden_bytes(buffer.getvalue()) == buffer.getvalue()


def test_a_large_image_turned_by_its_exif_stays_upright() -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    large_photo().save(buffer, "JPEG", exif=exif)
    with Image.open(io.BytesIO(golden_bytes(buffer.getvalue()))) as image:
        assert image.size == (round(GOLDEN_EDGE * 900 / 1400), GOLDEN_EDGE)


@pytest.mark.slow
def test_best_and_last_are_different_models_of_the_same_name(
    single_run: TinyRun, single_bundle: Path, maker_key: SigningKey, tmp_path: Path
) -> None:
    last = export_run(single_run.run, tmp_path / "shapes.onsight", maker_key, choice="last", version="2").manifest
    best = manifest_of(single_bundle)
    assert (last.name, last.version, best.version) == ("shapes", "2", "1")
    statistics = models_from_json(single_run.run.statistics_path.read_text())["last"]
    assert last.calibration == statistics.calibration
    same = single_run.run.weights_path("best").read_bytes() == single_run.run.weights_path("last").read_bytes()
    assert (last.model_id == best.model_id) is same


@pytest.mark.slow
def test_missing_and_changed_images_are_left_out_of_the_proof(
    single_run: TinyRun, single_bundle: Path, maker_key: SigningKey, tmp_path: Path
) -> None:
    images = Path(shutil.copytree(single_run.images, tmp_path / "moved"))
    shutil.rmtree(images / "red, dark")
    for path in (images / "grün").iterdir():
        path.write_bytes(path.read_bytes() + b"\0")
    exported = export_run(single_run.run, tmp_path / "shapes.onsight", maker_key, images=images)
    assert exported.manifest.variants[0].parity.images == 30
    assert exported.manifest.model_id == manifest_of(single_bundle).model_id
    blue = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (images / "blue").iterdir()}
    golden = Golden.from_bytes(read_archive(exported.path)["golden.npz"])
    assert {hashlib.sha256(image).hexdigest() for image in golden.images} <= blue


EXPORT = """
import sys
from datetime import datetime
from pathlib import Path
from bundle.keys import SigningKey
from exporter.export import export_run
from trainer.run import Run

run, out, key, now = sys.argv[1:]
export_run(Run(Path(run)), Path(out), SigningKey.load(Path(key)), name="shapes", now=datetime.fromisoformat(now))
"""


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes_in_every_process(
    single_run: TinyRun, single_bundle: Path, maker_key: SigningKey, home: OnsightHome, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    maker_key.save(key)
    outs = []
    for place in ("one", "two"):
        out = tmp_path / place / "shapes.onsight"
        environment = {**command_environment(home.path), "PYTHONHASHSEED": str(len(outs) + 1)}
        command = [sys.executable, "-c", EXPORT, str(single_run.folder), str(out), str(key), EXPORTED_AT.isoformat()]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
        outs.append(out.read_bytes())
    assert outs[0] == outs[1] == single_bundle.read_bytes()


@pytest.mark.slow
def test_thresholds_that_a_person_chose_stand_in_the_bundle_with_the_figures_that_follow(
    multi_run: TinyRun, multi_bundle: Path, maker_key: SigningKey, tmp_path: Path
) -> None:
    """At 0 every label is claimed, so recall is 1, and no image without all labels is decided right."""
    labels = multi_run.run.model().labels
    out = tmp_path / "all.onsight"
    every = dict.fromkeys(labels, 0.0)
    export_run(multi_run.run, out, maker_key, thresholds=every, now=EXPORTED_AT)
    before, after = manifest_of(multi_bundle), manifest_of(out)
    assert after.thresholds == (0.0,) * len(labels)
    assert after.metrics["test"]["recall_micro"].value == 1
    assert after.metrics["test"]["exact_match"].value == 0
    assert after.metrics["test"]["mean_average_precision"].value == pytest.approx(
        before.metrics["test"]["mean_average_precision"].value, abs=1e-5
    )
    assert after.model_id == before.model_id
    one = {labels[0]: 0.75}
    export_run(multi_run.run, out, maker_key, thresholds=one, now=EXPORTED_AT)
    assert manifest_of(out).thresholds == (0.75, *before.thresholds[1:])


@pytest.mark.parametrize("wrong", [{"nothing": 0.5}, {"blue": 1.5}, {"blue": float("nan")}])
def test_thresholds_of_other_labels_or_beyond_their_range_are_refused(
    wrong: dict[str, float], single_run: TinyRun, maker_key: SigningKey, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="thresholds"):
        export_run(single_run.run, tmp_path / "x.onsight", maker_key, thresholds=wrong)
    assert not (tmp_path / "x.onsight").exists()
