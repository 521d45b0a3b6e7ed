"""`onsight verify` judges as the server does, says where it stopped, and believes nothing before the signature."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bad_bundles import BAD_BUNDLES
from click.testing import CliRunner, Result
from color_bundle import make_manifest
from running_server import Install
from vendor import Vendor
from vendor import install as keep_license

from bundle.archive import read_archive, write_archive
from bundle.decode import ImageLimits
from bundle.errors import OnsightError
from bundle.keys import SigningKey
from bundle.load import load_bundle
from bundle.manifest import Certificate, GateLimits, LicenseDemand, MetricEstimate, parse_manifest
from bundle.pack import describe_files, pack_bundle
from bundle.trust import TrustStore
from onsight.cli import main
from onsight.verifying import MEANINGS, Verdict, verify_bundle
from server.engines.factory import EngineOptions, engine_factory
from server.models.loader import load_model


def run(install: Install, path: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["verify", str(path), *options], env={"ONSIGHT_HOME": str(install.home.path)})


def trust_of(install: Install) -> TrustStore:
    return TrustStore(install.home.trust_dir)


def statuses(verdict: Verdict) -> list[str]:
    return [check.status for check in verdict.checks]


def test_a_good_bundle_passes_every_check_in_order(install: Install) -> None:
    result = run(install, install.add_bundle())
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line[13:].split("  ")[0] for line in lines[:-1]] == list(MEANINGS)
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert all(meaning in line for meaning, line in zip(MEANINGS.values(), lines, strict=False))
    assert f"{install.key.public_key.key_id}, which you trust as 'test'" in lines[1]
    assert "3 images, largest difference" in lines[6]
    assert lines[-1] == "accepted"


def test_the_same_as_json(install: Install) -> None:
    path = install.add_bundle()
    result = run(install, path, "--json")
    document: dict[str, Any] = json.loads(result.stdout)
    assert document["accepted"] is True
    assert document["key_id"] == install.key.public_key.key_id
    assert document["manifest_sha256"] == load_bundle(path, trust_of(install)).manifest_sha256
    assert (document["name"], document["version"]) == ("colours", "1")
    assert [check["status"] for check in document["checks"]] == ["ok"] * len(MEANINGS)


@pytest.mark.parametrize("name", BAD_BUNDLES)
def test_what_the_server_refuses_is_refused_with_the_same_words(install: Install, name: str) -> None:
    path = install.add_bundle()
    BAD_BUNDLES[name](install, path)
    with pytest.raises(OnsightError) as refusal:
        load_model(
            load_bundle(path, trust_of(install)), "default", path.name, engine_factory(EngineOptions()), ImageLimits()
        )
    verdict = verify_bundle(path, trust_of(install))
    assert not verdict.accepted
    at = statuses(verdict).index("failed")
    assert statuses(verdict) == ["ok"] * at + ["failed"] + ["not reached"] * (len(MEANINGS) - at - 1)
    assert verdict.checks[at].found.startswith(str(refusal.value))
    assert verdict.checks[at].code == refusal.value.code
    assert run(install, path).exit_code == 1


def test_a_key_that_is_not_trusted_is_named_and_nothing_of_the_bundle_is_believed(install: Install) -> None:
    stranger = SigningKey.generate()
    path = install.add_bundle(key=stranger, name="pretender")
    result = run(install, path)
    assert result.exit_code == 1
    failed = result.stdout.splitlines()[1]
    assert failed.startswith("failed")
    assert stranger.public_key.key_id in failed
    assert "onsight trust add" in failed
    assert "pretender" not in result.stdout.replace(str(path), "")
    document = json.loads(run(install, path, "--json").stdout)
    assert (document["key_id"], document["name"], document["manifest_sha256"]) == (
        stranger.public_key.key_id,
        None,
        None,
    )


def test_without_a_runtime_the_steps_that_need_it_are_not_checked(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    verdict = verify_bundle(install.add_bundle(), trust_of(install))
    assert verdict.accepted
    by_name = {check.name: check for check in verdict.checks}
    assert [name for name, check in by_name.items() if check.status == "not checked"] == ["graph", "golden replay"]
    assert "onsight[server]" in by_name["graph"].found


def repacked(install: Install, variant_certificate: Certificate | None, **changes: Any) -> Path:
    """The good bundle with a second form of the model, signed by the trusted key."""
    path = install.add_bundle()
    entries = read_archive(path)
    own = {name: data for name, data in entries.items() if not name.startswith("manifest.")}
    files = {**own, "model.int8.onnx": own["model.onnx"]}
    first = parse_manifest(entries["manifest.json"]).variants[0]
    second = first.model_copy(
        update={
            "name": "int8", "precision": "int8", "file": "model.int8.onnx", "golden": "golden.npz",
            "certificate": variant_certificate,
        }
    )  # fmt: skip
    manifest = make_manifest(own["model.onnx"], describe_files(files), "colours", "1")
    pack_bundle(path, manifest.model_copy(update={"variants": (first, second), **changes}), files, install.key)
    return path


def certificate(value: float) -> Certificate:
    return Certificate(
        provider="CPUExecutionProvider", split="test", images=100, metric="accuracy", full=0.9, value=value,
        loss=MetricEstimate(value=0.9 - value), agreement=1.0, max_difference=0.01, decisions_flipped=0,
        golden_tolerance=0.02, limits=GateLimits(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        (certificate(0.895), "int8 certified on 100 test images: 100.0% of the answers agree"),
        (certificate(0.5), "int8 never serves: accuracy falls by 0.4000"),
        (None, "int8 never serves: it has no certificate"),
    ],
)
def test_each_form_is_told_of_with_its_measurements_or_why_it_never_serves(
    install: Install, measured: Certificate | None, told: str
) -> None:
    verdict = verify_bundle(repacked(install, measured), trust_of(install))
    assert verdict.accepted
    by_name = {check.name: check.found for check in verdict.checks}
    assert told in by_name["variants"]
    serves = measured is not None and measured.passed
    assert ("int8: 3 images" in by_name["golden replay"]) is serves
    assert ("may not serve: int8" in by_name["graph"]) is not serves


def test_a_bundle_that_demands_a_licence_says_whose(install: Install) -> None:
    path = repacked(install, None, license=LicenseDemand(issuer="ab" * 16))
    found = {check.name: check.found for check in verify_bundle(path, trust_of(install)).checks}
    assert f"issuer {'ab' * 16} that covers model colours" in found["licence"]


def test_it_is_refused_without_the_licence_that_it_demands_and_accepted_with_it(install: Install) -> None:
    vendor = Vendor(install.home.path / "vendor", datetime.now(UTC))
    path = repacked(install, None, license=LicenseDemand(issuer=vendor.id))
    refused = run(install, path)
    assert refused.exit_code == 1
    assert f"expected a licence of issuer {vendor.id}, found none" in refused.output
    keep_license(install.home.licenses_dir, vendor.file())
    accepted = run(install, path)
    assert accepted.exit_code == 0, accepted.output
    assert f"this install holds a licence of issuer {vendor.id}" in accepted.output
    assert not (install.home.licenses_dir / "clock.json").exists()


def test_nothing_is_written(install: Install) -> None:
    path = install.add_bundle()
    folder = install.home.path.parent
    before = {each: each.stat().st_mtime_ns for each in folder.rglob("*")}
    assert run(install, path).exit_code == 0
    entries = read_archive(path)
    write_archive(path, {**entries, "more.bin": b"x"})
    before[path] = path.stat().st_mtime_ns
    before[path.parent] = path.parent.stat().st_mtime_ns
    assert run(install, path).exit_code == 1
    assert {each: each.stat().st_mtime_ns for each in folder.rglob("*")} == before
