"""Which licences this server holds, and how they stand: for operators, with a token of the scope `admin`."""

from __future__ import annotations

from typing import Annotated, Any, cast

from flask import Blueprint
from pydantic import Field
from typing_extensions import TypedDict

from server.auth import requires
from server.context import context
from server.openapi.describe import Group, described
from server.tokens import Scope

licenses = Blueprint("licenses", __name__)


class HeldLicense(TypedDict):
    """A licence, or a file that should have been one. What it says is null where it cannot be believed."""

    name: Annotated[str, Field(description="its id, or the file's name")]
    issuer: str | None
    issuer_name: str | None
    state: Annotated[
        str, Field(description="`ok`, `warning`, `grace`, `expired-serve`, `stopped`, or why it counts not")
    ]
    days_left: Annotated[int | None, Field(description="whole days to its end; null without an end")]
    grace_until: str | None
    reason: Annotated[str | None, Field(description="why it does not count here")]
    claims: Annotated[dict[str, Any] | None, Field(description="what it says, without the hashes of hosts")]


class LicenseList(TypedDict):
    """As they stood at the last look: at the start, each hour, and when a file changes."""

    clock_behind_s: Annotated[
        float, Field(description="how far the host's clock lies behind what is known to have been")
    ]
    licenses: list[HeldLicense]


EXAMPLE: Any = {
    "clock_behind_s": 0.0,
    "licenses": [{
        "name": "lic-3f2a9c11d0", "issuer": "0123456789abcdef0123456789abcdef", "issuer_name": "ACME Vision",
        "state": "warning", "days_left": 29, "grace_until": "2027-01-25T00:00:00Z", "reason": None,
        "claims": {
            "lic_id": "lic-3f2a9c11d0", "seq": 2, "licensee": "Plant 4", "edition": "standard",
            "models": ["*"], "actions": ["serve"], "exp": "2026-12-26T00:00:00Z",
        },
    }],
}  # fmt: skip


@licenses.get("/v1/licenses")
@requires(Scope.ADMIN)
@described(Group.MODELS, "Licences", example=EXAMPLE)
def held() -> LicenseList:
    """Models that demand a licence serve under these. Empty where none is installed."""
    entitlement = context().entitlement
    if entitlement is None:
        return {"clock_behind_s": 0.0, "licenses": []}
    return {
        "clock_behind_s": entitlement.clock_behind.total_seconds(),
        "licenses": [cast(HeldLicense, holding.facts) for holding in entitlement.holdings],
    }
