"""Every mistake that a user can make is told of in a line or two: what was expected, what was found, what to do.

Exit code 1 where the work failed, 2 where the command was called wrongly; nothing on stdout, never a traceback.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from onsight_process import Onsight, command_environment
from tiny_runs import TinyRun, shapes

from bundle.home import OnsightHome


@pytest.fixture(scope="module")
def inputs(single_run: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wrong inputs of every kind, and some right ones, in a folder in which commands run. Leave it as it is."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "empty").mkdir()
    (folder / "one" / "red").mkdir(parents=True)
    for number in range(3):
        shapes(("red",), number).save(folder / "one" / "red" / f"{number}.png")
    for label in ("cat", "dog"):
        (folder / "unreadable" / label).mkdir(parents=True)
        for number in range(3):
            (folder / "unreadable" / label / f"{number}.jpg").write_bytes(b"no image at all")
    (folder / "texts").mkdir()
    (folder / "texts" / "notes.txt").write_text("no image")
    (folder / "missing.csv").write_text("nowhere-1.jpg,cat\nnowhere-2.jpg,dog\n")
    (folder / "empty.csv").write_text("")
    (folder / "list.txt").write_text("nowhere-1.jpg\n")
    (folder / "file").write_text("a file")
    (folder / "bundle.onsight").write_bytes(b"PK\x03\x04 and no more")
    (folder / "key.pem").write_text("no key")
    (folder / "pickled").mkdir()
    (folder / "pickled" / "config.json").write_text("{}")
    (folder / "pickled" / "pytorch_model.bin").write_bytes(b"pickle")
    shutil.copytree(single_run.images, folder / "photos")
    shutil.copytree(single_run.folder, folder / "run")
    return folder


# what is typed, exit code, words of the message
MISTAKES = [
    ("train", 2, "Missing option '--out'"),
    ("train --out new", 2, "IMAGES: expected a folder of images to train on, found none."),
    ("train photos --out new --minutes 0", 2, "--minutes: expected a value greater than 0, found 0.0."),
    ("train photos --out new --validation 3", 2, "--validation: expected a value less than 1, found 3.0."),
    ("train photos --out new --test -1", 2, "--test: expected a value greater than or equal to 0, found -1.0."),
    ("train photos --out new --size 4", 2, "--size: expected a value greater than or equal to 8, found 4."),
    ("train photos --out new --seed few", 2, "Invalid value for '--seed': 'few' is not a valid integer."),
    ("train photos --out new --augmentation wild", 2, "'wild' is not one of 'none', 'light', 'flip'"),
    ("train photos --resume --out run", 2, "--resume goes on with the run's own recipe: give it --out alone."),
    ("train --resume --out run --minutes 5", 2, "--resume goes on with the run's own recipe"),
    ("train --resume --out run", 1, "run: this run is finished; there is nothing to resume."),
    ("train --resume --out nowhere", 1, "nowhere: expected a run folder, found nothing there."),
    ("train --resume --out photos", 1, "photos: expected a run folder, found another folder."),
    ("train nowhere --out new", 1, "nowhere: expected a folder of images, found nothing there. Check the path."),
    ("train file --out new", 1, "file: expected a folder of images, found a file"),
    ("train empty --out new", 1, "empty: expected images (JPEG, PNG, WebP, BMP, TIFF or GIF), found an empty folder."),
    ("train texts --out new", 1, "texts: expected images"),
    ("train one --out new", 1, "one: expected at least 2 labels to train with, found only 'red'."),
    ("train unreadable --out new", 1, "expected images, found 6 files of which none can be read"),
    ("train photos --out new --labels nowhere.csv", 1, "nowhere.csv: expected a label file, found nothing there."),
    ("train photos --out new --labels empty.csv", 1, "empty.csv: Expected lines such as"),
    ("train photos --out new --labels missing.csv", 1, "missing.csv"),
    ("train photos --out new --validation-list nowhere.txt", 1, "nowhere.txt"),
    ("train photos --out new --validation-list list.txt", 1, "nowhere-1.jpg"),
    (
        "train photos --out new --backbone nowhere",
        1,
        "nowhere: expected the name of a backbone of this install, or a local folder, found neither",
    ),
    ("train photos --out new --backbone pickled", 1, "pickled: expected *.safetensors beside config.json, found none."),
    ("train photos --out new --backbone empty", 1, "empty: expected a local transformers folder"),
    ("train photos --out run", 1, "run: expected a new folder, found a run. Choose another --out, go on with --resume"),
    ("train photos --out photos", 1, "photos: expected a new or empty folder for the run, found other files."),
    ("train photos --out photos --overwrite", 1, "photos: expected a new or empty folder for the run"),
    ("train photos --out file", 1, "file: expected a folder for the run, found a file. Choose another --out."),
    ("train photos --out file/new", 1, "file"),
    ("report nowhere", 1, "nowhere: expected a run folder, found nothing there. Make one with `onsight train`."),
    ("report photos", 1, "photos: expected a run folder, found another folder."),
    ("report file", 1, "file: expected a run folder, found a file."),
    ("export photos --out new.onsight", 1, "photos: expected a run folder, found another folder."),
    ("export run", 2, "Missing option '--out'"),
    ("export run --out new.zip", 2, "--out: expected a name that ends in .onsight, found new.zip"),
    ("export run --out empty", 2, "'empty' is a directory"),
    ("export run --out new.onsight --name two/words", 1, "model name: expected 1 to 100 letters"),
    ("export run --out new.onsight --model-version v/1", 1, "model version: expected 1 to 64 letters"),
    ("export run --out new.onsight --images empty", 1, "empty: expected the images that this run was trained on"),
    ("predict", 2, "Missing argument '[MODEL] IMAGES'"),
    ("predict bundle.onsight", 2, "expected MODEL and IMAGES, found 1 argument(s)."),
    ("predict a b c", 2, "expected MODEL and IMAGES, found 3 argument(s)."),
    ("predict nowhere.onsight photos", 1, "nowhere.onsight: expected a .onsight bundle, found nothing there."),
    ("predict bundle.onsight nowhere", 1, "nowhere: expected an image or a folder of images, found nothing there."),
    ("predict bundle.onsight empty", 1, "empty: expected images (jpg, png, webp, bmp, tiff, gif), found none."),
    ("predict bundle.onsight texts", 1, "texts: expected images"),
    ("predict bundle.onsight photos", 1, "bundle.onsight: expected a zip archive"),
    ("predict file photos", 1, "file: expected a zip archive"),
    ("predict photos photos", 1, "photos: "),
    ("predict bundle.onsight photos --group-by-label photos", 1, "photos: expected a new or empty folder"),
    ("predict --server nowhere photos", 1, "server: expected an address such as http://localhost:8000"),
    ("serve nowhere", 1, "nowhere: expected a folder of .onsight bundles, found nothing there."),
    ("serve bundle.onsight", 1, "bundle.onsight: expected a folder of .onsight bundles, found a file: put it into"),
    ("serve empty --port 99999", 2, "--port: expected a value less than or equal to 65535, found 99999."),
    ("serve empty --host 0.0.0.0", 1, "token"),
    ("trust add nowhere.pem", 1, "nowhere.pem: expected a key file, found No such file or directory."),
    ("trust add key.pem", 1, "key.pem: expected a PEM file with an Ed25519 public key"),
    ("trust remove 0123456789abcdef", 1, "0123456789abcdef"),
    ("token revoke nobody", 1, "token 'nobody': there is none of this name."),
    ("token create x --scope all", 2, "'all' is not one of 'predict'"),
    ("demo --dir photos --once", 2, "photos: expected a new folder or an earlier demo's, found another."),
    ("nonsense", 2, "No such command 'nonsense'"),
    ("train --nonsense", 2, "No such option"),
]


# Found out only once the images are read; what is left stands in nobody's way.
FOUND_LATE = ("train unreadable --out new",)


@pytest.mark.parametrize(("typed", "code", "words"), MISTAKES, ids=[typed for typed, _, _ in MISTAKES])
def test_a_mistake_is_told_of_in_a_line(typed: str, code: int, words: str, onsight: Onsight, inputs: Path) -> None:
    before = set(inputs.rglob("*"))
    finished = onsight(*typed.split(), cwd=inputs)
    assert words in finished.error
    assert finished.code == code
    assert len(finished.error) < 400
    written = {path.relative_to(inputs).as_posix() for path in set(inputs.rglob("*")) - before}
    shutil.rmtree(inputs / "new", ignore_errors=True)
    assert written <= ({"new", "new/recipe.json", "new/events.jsonl"} if typed in FOUND_LATE else set())


@pytest.mark.slow
def test_a_slip_that_is_found_late_can_be_mended_and_the_command_given_again(
    onsight: Onsight, inputs: Path, tmp_path: Path
) -> None:
    given = ["--from-scratch", "--out", "new", "--epochs", "2", "--size", "16", "--threads", "1"]
    assert onsight("train", inputs / "unreadable", *given).code == 1
    assert (tmp_path / "new").is_dir()
    assert onsight("train", inputs / "photos", *given).code == 0


def test_a_wrong_setting_in_the_environment_is_told_of_by_its_own_name(onsight: Onsight, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    finished = onsight("serve", "models", ONSIGHT_DRAIN_S="-1", ONSIGHT_PORT="80")
    assert finished.error == "ONSIGHT_DRAIN_S: expected a value greater than or equal to 0, found '-1'."
    assert finished.code == 2


def test_a_bundle_of_another_install_is_refused_until_its_key_is_trusted(
    onsight: Onsight, single_bundle: Path, single_run: TinyRun, tmp_path: Path
) -> None:
    stranger = OnsightHome(tmp_path / "stranger")
    refused = onsight("predict", single_bundle, single_run.images, home=stranger)
    assert "expected a key in the trust store, which holds no key at all" in refused.error
    assert "onsight trust add FILE" in refused.error
    assert refused.code == 1


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.999])
def test_a_bundle_with_a_flipped_byte_is_refused(
    share: float, onsight: Onsight, single_bundle: Path, single_run: TinyRun, tmp_path: Path
) -> None:
    data = bytearray(single_bundle.read_bytes())
    data[int(share * len(data))] ^= 1
    (tmp_path / "changed.onsight").write_bytes(data)
    refused = onsight("predict", "changed.onsight", single_run.images, "--out", "results.csv")
    assert refused.code == 1
    assert "changed.onsight" in refused.error or "expected" in refused.error
    assert not (tmp_path / "results.csv").exists()


BLOCK = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from onsight.cli import main
sys.argv = ["onsight", *{arguments!r}]
main()
"""


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (["train", "photos", "--out", "new"], "torch", "train"),
        (["train", "photos", "--out", "new"], "onnxruntime", "server"),
        (["export", "run", "--out", "new.onsight"], "torch", "train"),
        (["report", "run"], "scipy", "train"),
        (["demo"], "sklearn", "train"),
        (["serve", "models"], "flask", "server"),
        (["serve", "models"], "gunicorn", "server"),
        (["predict", "shapes.onsight", "images"], "onnxruntime", "server"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
@pytest.mark.slow
def test_a_missing_package_is_told_of_with_the_extra_that_brings_it(
    arguments: list[str], package: str, extra: str, single_bundle: Path, home: OnsightHome, tmp_path: Path
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "images").mkdir()
    shapes(("red",), 1).save(tmp_path / "images" / "1.png")
    shutil.copy2(single_bundle, tmp_path / "shapes.onsight")
    code = BLOCK.format(packages={package}, arguments=arguments)
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=command_environment(home.path), capture_output=True, text=True
    )
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr.endswith(
        f"Error: this command needs {package}, which is not installed. Install Onsight's extra '{extra}': pip install"
        f" 'onsight[{extra}]'\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["predict", "shapes.onsight", "images"], ["token", "list"], ["trust", "list"]])
def test_labelling_and_keys_need_no_training_package(
    arguments: list[str], single_bundle: Path, home: OnsightHome, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    shapes(("red",), 1).save(tmp_path / "images" / "1.png")
    shutil.copy2(single_bundle, tmp_path / "shapes.onsight")
    packages = {"torch", "transformers", "sklearn", "scipy", "onnx", "onnxscript", "safetensors"}
    code = BLOCK.format(packages=packages, arguments=arguments)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=command_environment(home.path), check=True)
