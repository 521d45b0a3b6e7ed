"""The commands as a user types them: what they print, what they write, what machines can read."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from onsight_process import Onsight, command_environment
from tiny_runs import ODD_LABELS, TinyRun, shapes, write_class_folders

from bundle.home import OnsightHome
from onsight.cli import COMMANDS, main

QUICK = ["--from-scratch", "--epochs", "3", "--size", "16", "--threads", "1", "--hidden-units", "8"]
SCRIPT = Path(sys.executable).parent / "onsight"


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# Help


@pytest.mark.parametrize(
    "command",
    [
        "",
        *COMMANDS,
        "engine build",
        "engine clear",
        "engine list",
        "license crl issue",
        "license identity",
        "license issue",
        "license keyring add-bundle-key",
        "license keyring init",
        "license keyring rotate",
        "license keyring show",
        "license list",
        "license request",
        "studio link",
        "studio migrate",
        "studio sweep",
        "studio worker",
        "token create",
        "token list",
        "token revoke",
        "trust add",
        "trust list",
        "trust remove",
        "trust show",
    ],
)
def test_every_command_explains_itself(command: str, onsight: Onsight) -> None:
    finished = onsight(*command.split(), "--help")
    assert (finished.code, finished.stderr) == (0, "")
    assert finished.stdout.startswith(f"Usage: onsight {command}".strip())
    assert all(len(line) <= 100 for line in finished.stdout.splitlines())
    assert onsight(*command.split(), "-h").stdout == finished.stdout


def test_the_list_of_commands_says_what_each_commands_own_help_says(onsight: Onsight) -> None:
    listed = dict(re.findall(r"^  ([\w-]+) +(\S.*)$", onsight("--help").stdout.split("Commands:")[1], re.MULTILINE))
    assert listed == COMMANDS


def test_options_of_training_stand_under_headings(onsight: Onsight) -> None:
    text = onsight("train", "--help").stdout
    headings = re.findall(r"^(\w+):$", text, re.MULTILINE)
    assert headings == ["Run", "Data", "Network", "Training", "Options"]
    text = text[text.index("Run:") :]
    assert text.index("--out") < text.index("--labels") < text.index("--backbone") < text.index("--minutes")


def test_every_option_has_a_help_text() -> None:
    def commands(command: click.Command) -> Iterator[click.Command]:
        yield command
        if isinstance(command, click.Group):
            for inner in command.commands.values():
                yield from commands(inner)

    for name in COMMANDS:
        named = main.get_command(click.Context(main), name)
        assert named is not None
        for command in commands(named):
            assert command.help
            options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
            assert [option.name for option in options if not option.help] == []


def test_the_version_is_the_packages(onsight: Onsight) -> None:
    assert onsight("--version").stdout == f"onsight, version {importlib.metadata.version('onsight')}\n"


def test_help_comes_from_the_installed_script_without_importing_torch(home: OnsightHome, tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-X", "importtime", SCRIPT, "train", "--help"], cwd=tmp_path,
        env=command_environment(home.path), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.startswith("Usage: ")
    assert not re.search(r"\| +(torch|onnxruntime|sklearn|flask)$", found.stderr, re.MULTILINE)


# Training, report, export


@pytest.mark.slow
def test_training_prints_figures_to_stdout_and_all_else_to_stderr(
    onsight: Onsight, single_run: TinyRun, tmp_path: Path
) -> None:
    finished = onsight("train", single_run.images, "--out", "runs/my run", "--test", "0.2", *QUICK)
    assert finished.code == 0, finished.stderr
    assert re.match(r"Right on \d+\.\d% of 18 test images \(95 % interval \d+\.\d% to \d+\.\d%\)\.\n", finished.stdout)
    assert re.search(r"^ +test \(18\) +validation \(18\) +train \(54\)$", finished.stdout, re.MULTILINE)
    for word in ("accuracy", "F1 (macro)", "cross-entropy", "Matthews corr.", "calibration error", "red, dark", "grün"):
        assert word in finished.stdout
    tables, _, _ = finished.stdout.partition("Note:")
    assert max(map(len, tables.splitlines())) <= 80
    lines = finished.stderr.splitlines()
    assert any(line.startswith("90 images, 3 labels, single-label: 54 train") for line in lines)
    assert lines[-2:] == [
        "Report: runs/my run/report.html",
        "Next:   onsight export 'runs/my run' --out 'my run.onsight'",
    ]
    assert (tmp_path / "runs" / "my run" / "report.html").stat().st_size > 10_000
    assert not list(tmp_path.rglob("*.part"))
    assert onsight("export", "runs/my run", "--out", "my run.onsight").code == 0  # as the last line says


@pytest.mark.slow
def test_training_as_json_prints_one_object_with_warnings_and_figures(
    onsight: Onsight, single_run: TinyRun, tmp_path: Path
) -> None:
    photos = Path(shutil.copytree(single_run.images, tmp_path / "photos"))
    (photos / "blue" / "broken.jpg").write_bytes(b"no image")
    found = onsight("train", "photos", "--out", "run", "--json", *QUICK).json
    assert found["labels"] == ["blue", "grün", "red, dark"]
    assert found["images"] == {"train": 72, "validation": 18}
    assert (found["skipped"], found["interrupted"], found["task"]) == (1, False, "single_label")
    assert "unreadable" in [warning["code"] for warning in found["warnings"]]
    assert 0 <= found["metrics"]["validation"]["accuracy"] <= 1
    assert (tmp_path / found["report"]).is_file()


@pytest.mark.slow
def test_a_label_file_and_its_lists_train_a_multi_label_model(
    onsight: Onsight, multi_run: TinyRun, tmp_path: Path
) -> None:
    (tmp_path / "validation.txt").write_text("\n".join(f"{kind}-{n:02}.png" for kind in range(7) for n in range(3)))
    finished = onsight(
        "train", multi_run.images, "--labels", multi_run.labels_file, "--out", "run", "--validation-list",
        "validation.txt", "--class-weighting", *QUICK,
    )  # fmt: skip
    assert finished.code == 0, finished.stderr
    assert re.match(r"mAP \d\.\d{3} on 21 validation images", finished.stdout)
    for word in ("mAP", "F1 (macro)", "F1 (micro)", "exact match", "Hamming loss", "threshold", *ODD_LABELS.values()):
        assert word in finished.stdout
    assert "84 images, 3 labels, multi-label: 63 train, 21 validation, 0 test" in finished.stderr


@pytest.mark.slow
def test_a_label_file_that_names_some_missing_images_trains_on_the_others(onsight: Onsight, tmp_path: Path) -> None:
    write_class_folders(tmp_path / "photos", 12)
    rows = [f"{path.name},{path.parent.name.split(',')[0]}" for path in sorted((tmp_path / "photos").rglob("*.png"))]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows, "gone.png,blue"]), encoding="utf-8")
    finished = onsight("train", "photos", "--labels", "labels.csv", "--out", "run", *QUICK)
    assert finished.code == 0, finished.stderr
    assert re.search(r"^warning: .*1 .*gone\.png", finished.stderr, re.MULTILINE)
    assert "36 images, 3 labels, single-label" in finished.stderr


def test_the_report_prints_the_chosen_model_and_writes_the_page_anew(
    onsight: Onsight, single_run: TinyRun, tmp_path: Path
) -> None:
    run = single_run.copy(tmp_path / "run")
    run.report_path.unlink()
    best, last = (onsight("report", "run", "--model", choice) for choice in ("best", "last"))
    assert best.code == last.code == 0
    assert best.stderr == "Report: run/report.html\n"
    assert best.stdout.startswith("Right on 100.0% of 18 test images")
    assert onsight("report", "run").stdout == best.stdout
    assert "<html" in run.report_path.read_text(encoding="utf-8")


def test_the_report_as_json_is_the_statistics_file(onsight: Onsight, single_run: TinyRun) -> None:
    found = onsight("report", single_run.folder, "--json").json
    assert found == json.loads(single_run.run.statistics_path.read_text())


@pytest.mark.slow
def test_exporting_says_what_was_proven_and_by_whom_it_is_signed(
    onsight: Onsight, single_run: TinyRun, tmp_path: Path
) -> None:
    key_id = onsight("trust", "show").stdout.strip()
    finished = onsight("export", single_run.folder, "--out", "out/shapes.onsight", "--model-version", "1.2")
    assert finished.code == 0
    lines = finished.stdout.splitlines()
    assert re.fullmatch(r"out/shapes\.onsight: shapes 1\.2, 3 labels, \d+\.\d MB", lines[0])
    assert lines[1].startswith(
        "proven on 64 real images at batches of 1, 2, 7, 32: largest difference of a probability"
    )
    assert lines[2] == f"signed by {key_id}"
    as_json = onsight("export", single_run.folder, "--out", "again.onsight", "--name", "shapes", "--json").json
    assert as_json["bytes"] == (tmp_path / "again.onsight").stat().st_size
    assert (as_json["name"], as_json["version"], as_json["key_id"]) == ("shapes", "1", key_id)
    assert as_json["parity"]["decisions_flipped"] == 0


# Keys and tokens


def test_another_installs_bundle_is_accepted_once_its_key_is_trusted_and_no_longer_after(
    onsight: Onsight, single_bundle: Path, maker_key: object, single_run: TinyRun, tmp_path: Path
) -> None:
    image = single_run.images / "blue" / "blue-00.png"
    stranger = OnsightHome(tmp_path / "stranger")
    maker_key.public_key.save(tmp_path / "maker.pem")  # type: ignore[attr-defined]
    assert onsight("predict", single_bundle, image, home=stranger).code == 1
    added = onsight("trust", "add", "maker.pem", "--name", "the maker", home=stranger)
    assert (added.code, added.stdout) == (0, "")
    listed = onsight("trust", "list", "--json", home=stranger).json
    assert [key["name"] for key in listed] == ["the maker"]
    assert onsight("trust", "list", home=stranger).stdout == f"{listed[0]['key_id']}  the maker\n"
    assert onsight("predict", single_bundle, image, home=stranger).code == 0
    assert onsight("trust", "remove", listed[0]["key_id"], home=stranger).code == 0
    assert onsight("predict", single_bundle, image, home=stranger).code == 1
    assert onsight("trust", "list", home=stranger).stdout == ""


def test_this_installs_key_is_made_once_and_written_for_others(onsight: Onsight, tmp_path: Path) -> None:
    first = onsight("trust", "show", "--out", "me.pem")
    assert re.fullmatch(r"[0-9a-f]{16}\n", first.stdout)
    assert onsight("trust", "show").stdout == first.stdout
    assert first.stdout.strip() in onsight("trust", "list").stdout
    added = onsight("trust", "add", "me.pem", home=OnsightHome(tmp_path / "other"))
    assert added.stderr == f"{first.stdout.strip()}  me: trusted\n"
    assert b"PRIVATE" not in (tmp_path / "me.pem").read_bytes()


def test_a_token_is_shown_once_and_kept_as_a_digest_alone(onsight: Onsight, home: OnsightHome) -> None:
    assert onsight("token", "list").stdout == ""
    created = onsight("token", "create", "camera 1", "--scope", "predict", "--scope", "metrics")
    token = created.stdout.strip()
    assert token.startswith("onsight_")
    assert "X-Auth-token" in created.stderr
    assert token not in home.tokens_path.read_text()
    listed = onsight("token", "list")
    assert re.fullmatch(rf"camera 1  metrics, predict  since \d{{4}}-\d\d-\d\d  \.\.\.{token[-4:]}\n", listed.stdout)
    assert onsight("token", "list", "--json").json[0]["scopes"] == ["metrics", "predict"]
    assert "there is one of this name" in onsight("token", "create", "camera 1").error
    assert onsight("token", "revoke", "camera 1").stderr == "camera 1: revoked\n"
    assert onsight("token", "list", "--json").json == []


def test_a_reader_that_goes_away_ends_a_command_quietly(
    single_bundle: Path, single_run: TinyRun, home: OnsightHome, tmp_path: Path
) -> None:
    with (tmp_path / "stderr.txt").open("wb") as stderr:
        process = subprocess.Popen(
            [SCRIPT, "predict", single_bundle, single_run.images], stdout=subprocess.PIPE, stderr=stderr,
            env=command_environment(home.path),
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 1
    assert "Traceback" not in (tmp_path / "stderr.txt").read_text()


def test_an_image_alone_can_be_labelled(onsight: Onsight, single_bundle: Path, tmp_path: Path) -> None:
    shapes(("green",), 3).save(tmp_path / "one.webp", lossless=True)
    (row,) = rows_of(onsight("predict", single_bundle, "one.webp").stdout)
    assert (row["file"], row["labels"]) == ("one.webp", "grün")
