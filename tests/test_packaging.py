"""What is installed is ours, and a server needs no torch."""

import contextlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def test_our_package_names_are_provided_by_onsight_alone() -> None:
    owners = importlib.metadata.packages_distributions()
    for name in PACKAGES:
        others = set(owners.get(name, [])) - {"onsight"}
        assert not others, f"{name} is also installed by {others}"


def test_our_packages_are_imported_from_this_repository() -> None:
    code = f"import importlib\nfor n in {PACKAGES!r}: print(importlib.import_module(n).__file__)"
    result = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    for line in result.stdout.splitlines():
        assert Path(line).is_relative_to(ROOT)


def test_every_package_folder_is_listed() -> None:
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks", "tests"}
    assert found == set(PACKAGES)


def test_the_wheel_holds_the_studios_pages_as_they_are_built_and_no_source_of_them(tmp_path: Path) -> None:
    tree, out = tmp_path / "tree", tmp_path / "out"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, tree)
    for name in PACKAGES:
        (tree / name).mkdir()
        (tree / name / "__init__.py").touch()
    web = tree / "studio/web"
    shutil.copytree(ROOT / "studio/web", web, ignore=shutil.ignore_patterns("node_modules", "dist"))
    for name in ("dist/index.html", "dist/sw.js", "dist/assets/index-A1.js", "dist/.built", "node_modules/x/index.js"):
        (web / name).parent.mkdir(parents=True, exist_ok=True)
        (web / name).write_text(name)
    wheel = next(WheelBuilder(str(tree)).build(directory=str(out)))
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if name.startswith("studio/web/")}
    assert found == {f"studio/web/dist/{name}" for name in ("index.html", "sw.js", "assets/index-A1.js")}


def test_the_command_line_starts_without_torch_or_flask() -> None:
    code = (
        "import sys, onsight.cli; print([m for m in ('torch', 'flask', 'onnxruntime', 'sklearn') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_client_is_light_and_found_in_the_package_itself() -> None:
    heavy = ("torch", "flask", "onnxruntime", "sklearn", "numpy", "PIL", "pydantic", "tqdm", "click")
    code = (
        "import sys, onsight; before = 'httpcore2' in sys.modules; from onsight import AsyncClient, Client;"
        "import onsight.client as client; wanted = [getattr(onsight, name) for name in client.__all__];"
        f"print(before, [m for m in {heavy!r} if m in sys.modules], hasattr(onsight, 'Nothing'))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False [] False"


@pytest.mark.slow
def test_a_type_checker_sees_the_types_of_what_programs_import(tmp_path: Path) -> None:
    """As in a program that has Onsight installed: without the marker py.typed all of it is Any there."""
    for name in ("onsight", "bundle"):
        shutil.copytree(ROOT / name, tmp_path / "site" / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "program.py").write_text(
        "from bundle.load import Bundle\nfrom onsight import Client\n"
        "reveal_type(Bundle)\nreveal_type(Client('http://localhost').predict(b'').labels)\n"
    )
    mypy = [sys.executable, "-m", "mypy", "--config-file=", f"--cache-dir={tmp_path / 'cache'}", "program.py"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    result = subprocess.run(mypy, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert 'Revealed type is "tuple[str, ...]"' in result.stdout.replace("builtins.", "")
    assert "bundle.load.Bundle" in result.stdout


def test_constraints_pin_every_dependency_exactly() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(line.count("==") == 1 for line in lines)
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {dependency.split(">=")[0].split("[")[0].lower() for dependency in wanted} - {"onsight"}
    assert names <= pinned


def test_what_these_bring_in_turn_is_pinned_too() -> None:
    """Of everything that is installed here: the rest of an extra's packages, as pip would choose them."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(line.split("==")[0]) for line in lines if "==" in line}
    seen: set[tuple[str, str]] = set()
    waiting = [("onsight", extra) for extra in ("", *PYPROJECT["project"]["optional-dependencies"])]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            for line in importlib.metadata.requires(name) or []:
                wanted = Requirement(line)
                if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                    waiting += [(canonicalize_name(wanted.name), each) for each in ("", *wanted.extras)]
    of_torch = ("nvidia-", "cuda-", "triton")  # its builds for CUDA pin these themselves
    assert {name for name, _ in seen if not name.startswith(of_torch)} - {"onsight"} - pinned == set()
