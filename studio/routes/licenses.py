"""Licences of this install, for admins: how they stand, install one, the request that an issuer needs."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from pydantic import Field, ValidationError

from bundle.home import OnsightHome
from licenses.envelope import MAX_FILE_BYTES
from licenses.errors import EXIT_CODES, IdentityError, LicenseError
from licenses.gate import LicenseGate
from licenses.host import host_factors
from licenses.identity import InstallIdentity
from licenses.request import make_request
from licenses.store import LicenseStore
from server.openapi.describe import TEXT, Answer, Content, described
from server.problems import Problem
from server.uploads import read_body
from studio.access import audit
from studio.access.guard import actor, requires
from studio.access.privileges import Privilege
from studio.context import context
from studio.errors import Conflict, Invalid
from studio.routes.groups import Group
from studio.routes.routes import Routes
from studio.routes.wire import In, Out, query, read_query

licenses = Routes("licenses", __name__, url_prefix="/studio/v1/licenses")

PLAIN = "text/plain"
EXAMPLE: Any = {
    "clock_behind_s": 0.0,
    "licenses": [{
        "name": "lic-3f2a9c11d0", "issuer": "0123456789abcdef0123456789abcdef", "issuer_name": "ACME Vision",
        "licensee": "Plant 4", "state": "warning", "days_left": 29, "grace_until": "2027-01-25T00:00:00Z",
        "reason": None, "models": ["*"], "actions": ["serve", "download"],
    }],
}  # fmt: skip


class HeldLicence(Out):
    name: str = Field(description="its id, or the file's name where it cannot be believed")
    issuer: str | None
    issuer_name: str | None
    licensee: str | None
    state: str = Field(description="`ok`, `warning`, `grace`, `expired-serve`, `stopped`, or why it counts not")
    days_left: int | None = Field(description="whole days to its end; null without an end")
    grace_until: str | None
    reason: str | None = Field(description="why it does not count here")
    models: list[str]
    actions: list[str]


class HeldLicences(Out):
    clock_behind_s: float = Field(description="the host's clock behind what is known to have been")
    licenses: list[HeldLicence]


class RequestQuery(In):
    name: str = Field(default="onsight", min_length=1, max_length=200, description="What the issuer shall call it.")


@licenses.get("")
@requires(Privilege.MANAGE_LICENSES)
@described(Group.DOWNLOAD, "Licences of this install", example=EXAMPLE)
def held() -> HeldLicences:
    """Models of one's own need none. Each with its state now."""
    return _held()


@licenses.post("")
@requires(Privilege.MANAGE_LICENSES)
@described(
    Group.DOWNLOAD, "Install a licence", body=(Content(PLAIN, TEXT, "the file that the issuer sent"),),
    example=EXAMPLE, problems=("BODY_BROKEN", "BODY_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", *sorted(EXIT_CODES)),
)  # fmt: skip
def install() -> HeldLicences:
    """All of the file is checked before anything is written; one that does not hold leaves what is installed."""
    folder = _home().licenses_dir
    store, gate = LicenseStore(folder), LicenseGate(folder)
    try:
        incoming = store.check(read_body(request, MAX_FILE_BYTES), "licence file")
        for license_ in incoming.licenses:
            misfit = gate.misfit(license_)
            if misfit is not None:
                raise misfit
    except LicenseError as error:
        raise Problem(422, error.code, str(error)) from error
    except IdentityError as error:
        raise _unreadable() from error
    store.write(incoming)
    names = ", ".join(license_.claims.lic_id for license_ in incoming.licenses) or "key ring"
    with context().database.writing() as connection:
        audit.record(connection, actor(), "license.installed", names)
    return _held()


@licenses.get("/request")
@requires(Privilege.MANAGE_LICENSES)
@described(
    Group.DOWNLOAD, "A request for a licence", parameters=query(RequestQuery),
    answers={200: Answer("Signed text, for the issuer; nothing in it is secret.", (Content(PLAIN, TEXT),))},
    problems=("PARAMETER_INVALID", "VALUE_INVALID", "CONFLICT"),
)  # fmt: skip
def wanted() -> Response:
    """Who this install is. The issuer makes a licence of it: `onsight license issue --for request.txt`."""
    asked = read_query(RequestQuery)
    try:
        own = InstallIdentity.load_or_create(_home().licenses_dir)
        text = make_request(own, asked.name, host_factors(), context().now())
    except ValidationError as error:
        raise Invalid("name: expected 1 to 200 printable characters.") from error
    except IdentityError as error:
        raise _unreadable() from error
    headers = {"Content-Disposition": 'attachment; filename="request.txt"'}
    return Response(text, content_type=f"{PLAIN}; charset=utf-8", headers=headers)


def _home() -> OnsightHome:
    return OnsightHome(context().settings.home)


def _unreadable() -> Conflict:
    return Conflict("This install's identity cannot be read or written; the studio's log says why.")


def _held() -> HeldLicences:
    gate = LicenseGate(_home().licenses_dir)
    rows = []
    for holding in gate.holdings():
        facts, claims = holding.facts, None if holding.license is None else holding.license.claims
        rows.append(
            HeldLicence(
                name=holding.name,
                issuer=holding.issuer,
                issuer_name=holding.issuer_name,
                licensee=None if claims is None else claims.licensee,
                state=holding.state,
                days_left=facts["days_left"],
                grace_until=facts["grace_until"],
                reason=facts["reason"],
                models=[] if claims is None else list(claims.models),
                actions=[] if claims is None else list(claims.actions),
            )
        )
    return HeldLicences(clock_behind_s=gate.clock_behind.total_seconds(), licenses=rows)
