"""What is installed is ours, and a server needs no torch."""

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

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


def test_constraints_pin_every_dependency_exactly() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(line.count("==") == 1 for line in lines)
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {dependency.split(">=")[0].split("[")[0].lower() for dependency in wanted} - {"onsight"}
    assert names <= pinned
