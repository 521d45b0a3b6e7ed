"""`onsight sbom`: valid CycloneDX of what is really installed, equal for equal installs, with the graph of needs."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions, version
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from onsight.bill import make_bill
from onsight.cli import main

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WHEN = "2026-01-02T03:04:05Z"


def run(*options: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["sbom", *options], env={"SOURCE_DATE_EPOCH": None, **environment})


def is_valid(text: str) -> bool:
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def install(site: Path, name: str, lines: str = "", files: dict[str, bytes] | None = None, **more: str) -> None:
    """A package as an installer leaves it. more: further files of its metadata, with _ for the dot."""
    folder = site / f"{name.replace('-', '_')}-1.0+local.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0+local\n{lines}")
    record = [f"{folder.name}/RECORD,,"]
    for path, data in (files or {}).items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record.append(f"{path},sha256={digest},{len(data)}")
    (folder / "RECORD").write_text("\n".join(record) + "\n")
    for file, text in more.items():
        (folder / file.replace("_json", ".json")).write_text(text)


def bill_of(site: Path, with_files: bool = False) -> dict[str, dict]:
    """Its components by name, and what each needs."""
    bill = make_bill(NOW, with_files, list(Distribution.discover(path=[str(site)])))
    assert is_valid(json.dumps(bill))
    found = {each["name"]: each for each in (*bill["components"], bill["metadata"]["component"])}
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    return {name: {**each, "needs": needs[each["bom-ref"]]} for name, each in found.items()}


def test_the_bill_of_this_install_is_valid_and_names_what_is_installed() -> None:
    result = run()
    assert result.exit_code == 0
    assert is_valid(result.stdout)
    bill = json.loads(result.stdout)
    listed = {canonicalize_name(each["name"]): each["version"] for each in bill["components"]}
    for each in distributions():
        name = canonicalize_name(each.metadata["Name"])
        assert name == "onsight" or listed[name] == version(name)
    assert bill["metadata"]["component"]["name"] == "onsight"
    assert {each["purl"] for each in bill["components"]} >= {f"pkg:pypi/click@{version('click')}"}
    refs = [each["bom-ref"] for each in bill["components"]]
    assert len(refs) == len(set(refs))
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    assert set(needs) == {*refs, bill["metadata"]["component"]["bom-ref"]}
    assert {ref for each in needs.values() for ref in each} <= set(refs)
    assert f"pkg:pypi/click@{version('click')}" in needs[f"pkg:pypi/onsight@{version('onsight')}"]
    assert f"pkg:pypi/numpy@{version('numpy')}" in needs[f"pkg:pypi/scipy@{version('scipy')}"]


def test_what_is_bundled_in_the_pages_is_listed_with_its_licence() -> None:
    packages = [
        {"name": "@mantine/core", "version": "9.7.3", "identifier": "MIT", "text": "..."},
        {"name": "victory-vendor", "version": "37.4.1", "identifier": "MIT AND ISC", "text": "..."},
    ]
    bill = make_bill(NOW, bundled=packages)
    assert is_valid(json.dumps(bill))
    found = {each["purl"]: each for each in bill["components"]}
    assert found["pkg:npm/%40mantine/core@9.7.3"]["licenses"] == [{"expression": "MIT"}]
    assert found["pkg:npm/victory-vendor@37.4.1"]["licenses"] == [{"expression": "MIT AND ISC"}]
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    assert "pkg:npm/%40mantine/core@9.7.3" in needs[bill["metadata"]["component"]["bom-ref"]]


def test_equal_installs_give_equal_bytes_where_the_time_is_given(tmp_path: Path) -> None:
    first = run("--timestamp", WHEN)
    assert first.stdout == run(SOURCE_DATE_EPOCH=str(int(NOW.timestamp()))).stdout
    assert json.loads(first.stdout)["metadata"]["timestamp"] == WHEN
    later = json.loads(run("--timestamp", "2027-01-01").stdout)
    assert later["serialNumber"] == json.loads(first.stdout)["serialNumber"]
    out = tmp_path / "bill.cdx.json"
    assert run("--timestamp", WHEN, "--out", str(out)).stdout == ""
    assert out.read_text(encoding="utf-8") == first.stdout


@pytest.mark.parametrize(("options", "environment"), [(("--timestamp", "noon"), {}), ((), {"SOURCE_DATE_EPOCH": "x"})])
def test_a_time_that_is_none_is_refused(options: tuple[str, ...], environment: dict[str, str]) -> None:
    result = run(*options, **environment)
    assert result.exit_code == 2
    assert "expected a time, found" in result.stderr


def test_files_are_listed_on_request() -> None:
    """Their form is judged on a small install below: the validator takes minutes for ten thousands of them."""
    listed = json.loads(run("--files").stdout)["components"]
    (click,) = [each for each in listed if each["name"] == "click"]
    file = next(each for each in click["components"] if each["name"] == "click/core.py")
    installed = Distribution.from_name("click").locate_file("click/core.py")
    assert file["hashes"][0]["content"] == hashlib.sha256(Path(str(installed)).read_bytes()).hexdigest()


def test_another_install_has_another_serial_number(tmp_path: Path) -> None:
    install(tmp_path, "onsight")
    first = make_bill(NOW, installed=list(Distribution.discover(path=[str(tmp_path)])))
    install(tmp_path, "more")
    assert (
        make_bill(NOW, installed=list(Distribution.discover(path=[str(tmp_path)])))["serialNumber"]
        != (first["serialNumber"])
    )


@pytest.mark.parametrize(
    ("lines", "licenses"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: other\n", [{"expression": "MIT OR Apache-2.0"}]),
        ("License: BSD-3-Clause\n", [{"license": {"name": "BSD-3-Clause"}}]),
        (f"License: {'x' * 2000}\nClassifier: License :: OSI Approved :: MIT License\n",
         [{"license": {"name": "MIT License"}}]),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved\n", None),
    ],
)  # fmt: skip
def test_a_licence_is_told_as_the_package_states_it(tmp_path: Path, lines: str, licenses: list | None) -> None:
    install(tmp_path, "onsight")
    install(tmp_path, "other", lines)
    assert bill_of(tmp_path)["other"].get("licenses") == licenses


def test_versions_are_quoted_and_names_normalised_in_package_urls(tmp_path: Path) -> None:
    install(tmp_path, "onsight")
    install(tmp_path, "Odd_Name.too")
    assert bill_of(tmp_path)["Odd_Name.too"]["purl"] == "pkg:pypi/odd-name-too@1.0%2Blocal"


def test_needs_follow_markers_and_the_extras_that_are_asked_for(tmp_path: Path) -> None:
    purl = "pkg:pypi/{}@1.0%2Blocal".format
    install(
        tmp_path, "onsight",
        "Provides-Extra: full\nProvides-Extra: half\nRequires-Dist: core[fast]>=0.1\nRequires-Dist: nowhere;"
        " python_version < '3'\nRequires-Dist: extra-one; extra == 'full'\nRequires-Dist: extra-two; extra == 'half'\n"
        "Requires-Dist: absent; extra == 'half'\n",
    )  # fmt: skip
    install(tmp_path, "core", "Requires-Dist: speed; extra == 'fast'\nRequires-Dist: unasked; extra == 'slow'\n")
    for name in ("nowhere", "extra-one", "extra-two", "speed", "unasked"):
        install(tmp_path, name)
    found = bill_of(tmp_path)
    assert [ref for ref in found["onsight"]["needs"] if "pypi" in ref] == [purl("core"), purl("extra-one")]
    assert found["core"]["needs"] == [purl("speed")]
    assert "unasked" in found  # it is there, whoever brought it


def test_digests_are_those_that_the_installer_wrote_down(tmp_path: Path) -> None:
    archive = {"url": "file:///wheel.whl", "archive_info": {"hashes": {"sha256": "ab" * 32}}}
    install(tmp_path, "onsight", files={"onsight/a.py": b"code"}, direct_url_json=json.dumps(archive))
    install(tmp_path, "odd", direct_url_json="[]")
    found = bill_of(tmp_path, with_files=True)
    assert found["onsight"]["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    (file,) = found["onsight"]["components"]
    assert file["name"] == "onsight/a.py"
    assert file["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(b"code").hexdigest()}]
    assert "hashes" not in found["odd"]
    assert "components" not in bill_of(tmp_path)["onsight"]
