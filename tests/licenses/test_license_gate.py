"""The gate: which licence allows what, and which of several refusals is told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from vendor import Vendor, install

from licenses.claims import Binding
from licenses.errors import EXIT_CODES, Code, IdentityError, LicenseError
from licenses.gate import LicenseGate, Usage
from licenses.holding import most_pressing
from licenses.identity import InstallIdentity
from licenses.license import License

NOW = datetime(2030, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ELSEWHERE = Binding(mode="site", installs=("f" * 32,))


class Customer:
    """An install, and the maker whose models it runs."""

    def __init__(self, folder: Path) -> None:
        self.vendor = Vendor(folder / "issuer", NOW)
        self.folder = folder / "licenses"
        self.now = NOW
        self.factors: dict[str, tuple[str, ...]] = {}

    def gets(self, **terms: object) -> License:
        made = self.vendor.issue(**terms)  # type: ignore[arg-type]
        install(self.folder, self.vendor.issuer.response(made, NOW))
        return made

    @property
    def gate(self) -> LicenseGate:
        return LicenseGate(self.folder, now=lambda: self.now, factors=lambda: self.factors)

    def asks(self, model: str = "trash", *, new: bool = True, **more: object) -> str:
        """The licence that allows it, or the code of the refusal."""
        try:
            found = self.gate.require("serve", issuer=self.vendor.id, model=model, new=new, **more)  # type: ignore[arg-type]
        except LicenseError as error:
            return error.code.removeprefix("LICENSE_")
        return found.claims.lic_id


@pytest.fixture
def customer(tmp_path: Path) -> Customer:
    return Customer(tmp_path)


def test_one_licence_that_allows_is_enough_and_the_best_of_several_is_named(customer: Customer) -> None:
    customer.gets(lic_id="lic-old", exp=NOW + DAY)
    customer.gets(lic_id="lic-other", models=["cards"])
    customer.gets(lic_id="lic-best")
    assert customer.asks() == "lic-best"
    assert customer.asks("cards") in ("lic-best", "lic-other")


def test_a_licence_of_another_issuer_is_none(customer: Customer, tmp_path: Path) -> None:
    install(customer.folder, Vendor(tmp_path / "other", NOW).file())
    assert customer.asks() == "MISSING"


ORDER: dict[str, Callable[[Customer], object]] = {
    "MISSING": lambda customer: None,
    "NOT_ENTITLED": lambda customer: customer.gets(lic_id="lic-1-cover", models=["cards"]),
    "REVOKED": lambda customer: revoke(customer),
    "HOST_MISMATCH": lambda customer: customer.gets(lic_id="lic-3-host", binding=ELSEWHERE),
    "EXPIRED": lambda customer: customer.gets(lic_id="lic-4-time", exp=NOW + DAY, grace_days=0, on_expiry="stop"),
    "LIMIT": lambda customer: customer.gets(lic_id="lic-5-limit", limits={"gpus": 0}),
}


def revoke(customer: Customer) -> None:
    made = customer.gets()
    customer.vendor.issuer.revoke(made.claims.lic_id, "contract ended", NOW)
    install(customer.folder, customer.vendor.issuer.revocations(NOW).sealed.to_bytes())


def test_of_several_refusals_the_licence_that_came_furthest_says_why(customer: Customer) -> None:
    customer.now = NOW + 2 * DAY
    for code, give in ORDER.items():
        give(customer)
        assert customer.asks(usage=Usage(gpus=1)) == code
    customer.gets(lic_id="lic-6-good")
    assert customer.asks(usage=Usage(gpus=1)) == "lic-6-good"


def test_files_that_cannot_be_believed_say_why_where_there_is_no_other(customer: Customer, tmp_path: Path) -> None:
    folder = customer.folder / "installed"
    folder.mkdir(parents=True)
    alone = customer.vendor.issue()
    (folder / "alone.txt").write_bytes(alone.sealed.to_bytes())
    assert customer.asks() == "UNKNOWN_KEY"
    (folder / "alone.txt").write_bytes(b"no licence")
    assert customer.asks() == "MALFORMED"
    install(customer.folder, customer.vendor.issuer.ring.sealed.to_bytes())
    changed = alone.sealed.__class__(alone.sealed.kind, alone.sealed.kid, b"{}", alone.sealed.signature)
    (folder / "alone.txt").write_bytes(changed.to_bytes())
    assert customer.asks() == "BAD_SIGNATURE"
    customer.gets(lic_id="lic-good")
    assert customer.asks() == "lic-good"


def test_a_licence_that_begins_later_says_so(customer: Customer) -> None:
    customer.gets(lic_id="lic-later", begins=NOW + DAY)
    assert customer.asks() == "NOT_YET_VALID"
    customer.now += DAY
    assert customer.asks() == "lic-later"


def test_every_code_is_tested_here_and_has_an_exit_code() -> None:
    tested = {*ORDER, "UNKNOWN_KEY", "MALFORMED", "BAD_SIGNATURE", "NOT_YET_VALID"}
    assert {code.removeprefix("LICENSE_") for code in get_args(Code)} == tested
    assert set(EXIT_CODES) == set(get_args(Code))


@pytest.mark.parametrize(("limit", "setting"), [
    ("servers", "Stop another server"), ("gpus", "fewer devices"), ("loaded_models", "Unload"),
    ("concurrency", "ONSIGHT_WORKERS"),
])  # fmt: skip
def test_a_limit_names_itself_and_what_to_lower(customer: Customer, limit: str, setting: str) -> None:
    customer.gets(lic_id="lic-limited", limits={limit: 3})
    assert customer.asks(usage=Usage(**{limit: 3})) == "lic-limited"
    assert customer.asks() == "lic-limited", "who takes up nothing is not limited"
    with pytest.raises(LicenseError, match=rf"at most 3 {limit.replace('_', ' ')}, found 4.*{setting}"):
        customer.gate.require("serve", issuer=customer.vendor.id, model="trash", new=False, usage=Usage(**{limit: 4}))


def test_models_made_after_the_maintenance_are_not_covered(customer: Customer) -> None:
    customer.gets(lic_id="lic-kept", maintenance_until=NOW)
    assert customer.asks(made=NOW) == "lic-kept"
    assert customer.asks(made=NOW + DAY) == "NOT_ENTITLED"


def test_a_damaged_identity_ends_no_licence_that_does_without_and_hides_none(customer: Customer) -> None:
    customer.gets(lic_id="lic-1-site", binding=ELSEWHERE)
    customer.gets(lic_id="lic-2-free")
    (customer.folder / "identity.json").write_text("damaged")
    assert customer.asks() == "lic-2-free"
    site, free = customer.gate.holdings()
    assert (site.state, free.state) == ("LICENSE_HOST_MISMATCH", "ok")
    assert "Restore the file from a backup" in str(site.error)
    shutil.rmtree(customer.folder / "installed")
    customer.gets(lic_id="lic-1-site", binding=ELSEWHERE)
    with pytest.raises(IdentityError):
        customer.gate.require("serve", issuer=customer.vendor.id, model="trash", new=False)


def test_an_action_that_is_not_granted_is_refused(customer: Customer) -> None:
    customer.gets(actions=["serve"])
    with pytest.raises(LicenseError, match="a licence to export it"):
        customer.gate.require("export", issuer=customer.vendor.id, model="trash", new=True)


def test_a_host_is_known_by_enough_of_its_facts_and_by_no_single_one(customer: Customer) -> None:
    facts = {"machine-id": ("m",), "dmi-uuid": ("d",), "gpu-uuid": ("g1", "g2"), "disk-serial": ("s",)}
    identity = InstallIdentity.load_or_create(customer.folder)
    customer.gets(
        lic_id="lic-host",
        binding=Binding(mode="host", installs=(identity.install_id,), min_match=2, factors=identity.hashed(facts)),
    )
    for missing in facts:
        customer.factors = {kind: values for kind, values in facts.items() if kind != missing}
        assert customer.asks() == "lic-host"
    customer.factors = {"gpu-uuid": ("g2", "another"), "machine-id": ("m",)}
    assert customer.asks() == "lic-host"
    customer.factors = {"gpu-uuid": ("g2",), "machine-id": ("another",)}
    assert customer.asks() == "HOST_MISMATCH"


def test_a_host_s_facts_are_asked_for_once_an_hour(customer: Customer) -> None:
    identity = InstallIdentity.load_or_create(customer.folder)
    facts = {"machine-id": ("m",), "dmi-uuid": ("d",)}
    customer.gets(
        binding=Binding(mode="host", installs=(identity.install_id,), min_match=1, factors=identity.hashed(facts))
    )
    asked: list[float] = []
    up_s = [0.0]

    def look() -> dict[str, tuple[str, ...]]:
        asked.append(up_s[0])
        return facts

    gate = LicenseGate(customer.folder, now=lambda: NOW, monotonic=lambda: up_s[0], factors=look)
    for up_s[0] in (0.0, 1800.0, 3599.0, 3600.0):
        gate.require("serve", issuer=customer.vendor.id, model="trash", new=False)
    assert asked == [0.0, 3600.0]


def test_holdings_tell_of_every_licence_and_the_most_pressing_is_found(customer: Customer) -> None:
    customer.gets(lic_id="lic-1-good")
    customer.gets(lic_id="lic-2-soon", exp=NOW + 5 * DAY)
    held = customer.gate.holdings()
    assert [(each.name, each.state, each.issuer_name, each.exit_code) for each in held] == [
        ("lic-1-good", "ok", "Maker", 0), ("lic-2-soon", "warning", "Maker", 0),
    ]  # fmt: skip
    assert most_pressing(held).name == "lic-2-soon"
    customer.gets(lic_id="lic-3-away", binding=ELSEWHERE)
    assert most_pressing(customer.gate.holdings()).state == "LICENSE_HOST_MISMATCH"
