"""What a manifest says of licences, and that one which says nothing is what it was before there were licences."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from bundle.errors import MalformedBundle
from bundle.manifest import LicenseDemand, Manifest, parse_manifest

ISSUER = "0123456789abcdef" * 2


def test_a_manifest_without_a_demand_does_not_name_it_and_keeps_its_bytes(manifest: Manifest) -> None:
    document = json.loads(manifest.to_bytes())
    assert "license" not in document
    assert parse_manifest(manifest.to_bytes()).to_bytes() == manifest.to_bytes()


def test_a_demand_names_its_issuer_and_survives_a_round_trip(make_manifest: Callable[..., Manifest]) -> None:
    demanding = make_manifest(license={"issuer": ISSUER})
    assert json.loads(demanding.to_bytes())["license"] == {"issuer": ISSUER}
    assert parse_manifest(demanding.to_bytes()).license == LicenseDemand(issuer=ISSUER)


@pytest.mark.parametrize("demand", [{"issuer": "x"}, {"issuer": ISSUER, "more": 1}, {}, "yes"])
def test_a_demand_that_cannot_be_is_refused(make_manifest: Callable[..., Manifest], demand: object) -> None:
    document = json.loads(make_manifest().to_bytes())
    with pytest.raises(MalformedBundle, match="license"):
        parse_manifest(json.dumps({**document, "license": demand}).encode())
