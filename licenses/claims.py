"""What signed documents say: licences, key rings, revocation lists, requests and releases, frozen and typed.

Times are UTC, whole seconds, `2026-01-02T03:04:05Z`. A licence may carry claims that this version does not know, so
that older installs read newer licences; those that must be understood are named in `crit`, and an unknown one there is
refused. All other documents are closed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints, model_validator

from bundle.keys import PublicKey

Action = Literal["download", "serve", "export", "train"]
ACTIONS: Final[tuple[Action, ...]] = ("download", "serve", "export", "train")
EVERY_MODEL: Final = "*"
MAX_GRACE_DAYS: Final = 3650
_TIME = re.compile(r"[0-8]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)  # years can be added to any of them


def time_of(value: object) -> datetime:
    """`2026-01-02T03:04:05Z`, or an aware datetime, as UTC in whole seconds. Raises ValueError."""
    if isinstance(value, datetime) and value.tzinfo is not None and value.year < 9000:
        return value.astimezone(UTC).replace(microsecond=0)
    if isinstance(value, str) and _TIME.fullmatch(value):
        return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    raise ValueError("expected a time such as 2026-01-02T03:04:05Z")


def text_of(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"  # strftime cuts years short


Time = Annotated[datetime, BeforeValidator(time_of), PlainSerializer(text_of)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
ModelPattern = Annotated[str, StringConstraints(pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]{0,99})$")]
LicenseId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{3,63}$")]
Hex32 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
KeyId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
RawKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FactorKind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
FactorHashes = dict[FactorKind, tuple[Hex32, ...]]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Number = Annotated[int, Field(ge=1, le=1_000_000)]  # of a file among those that follow each other; it names a file, too


class Closed(BaseModel):
    """A frozen document in which an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Binding(Closed):
    """Where a licence holds.

    none: anywhere. site: on the named installs. host: on one install, on a host that shows at least `min_match` of the
    kinds of `factors` (a kind is shown where one of its hashes is). No kind is ever needed by itself.
    """

    mode: Literal["none", "site", "host"]
    installs: tuple[Hex32, ...] = Field(default=(), max_length=200)
    min_match: Count = 0
    factors: FactorHashes = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.mode == "none" and (self.installs or self.factors or self.min_match):
            raise ValueError("binding none: expected neither installs nor factors")
        if self.mode != "none" and not self.installs:
            raise ValueError(f"binding {self.mode}: expected at least one install")
        if self.mode == "site" and (self.factors or self.min_match):
            raise ValueError("binding site: expected no factors")
        if self.mode == "host" and (len(self.installs) != 1 or not 1 <= self.min_match < len(self.factors)):
            raise ValueError("binding host: expected one install, and min_match from 1 to less than the factors")
        return self


class Limits(Closed):
    """The most that may be in use at once on one install; None: any number."""

    servers: Count | None = None
    gpus: Count | None = None
    loaded_models: Count | None = None
    concurrency: Count | None = None


class Terms(Closed):
    """What an issuer grants: to whom, what with which models, where and until when."""

    licensee: Name
    edition: Name = "standard"
    exp: Time | None = Field(description="valid to; None: for ever")
    maintenance_until: Time | None = Field(default=None, description="models made later are not covered")
    grace_days: Annotated[int, Field(ge=0, le=MAX_GRACE_DAYS)] = 30
    on_expiry: Literal["serve", "stop"] = "serve"
    binding: Binding
    models: tuple[ModelPattern, ...] = Field(min_length=1, max_length=500)
    actions: tuple[Action, ...] = Field(min_length=1)
    limits: Limits = Limits()


class Claims(Terms):
    """A licence: the terms, and which one it is."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)

    lic_id: LicenseId
    seq: Number = Field(description="the highest of one lic_id counts")
    iat: Time = Field(description="issued at")
    nbf: Time = Field(description="valid from")
    crit: tuple[str, ...] = Field(default=(), description="claims that must be understood")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        unknown = sorted(set(self.crit) - set(type(self).model_fields))
        if unknown:
            raise ValueError(f"crit: this version does not understand {unknown}")
        if self.exp is not None and self.exp <= self.nbf:
            raise ValueError("exp: expected a time after nbf")
        return self

    @property
    def grace_end(self) -> datetime | None:
        """When the grace ends; None where the licence never does."""
        return None if self.exp is None else self.exp + timedelta(days=self.grace_days)

    def covers(self, model: str | None) -> bool:
        """model: None stands for any."""
        return model is None or EVERY_MODEL in self.models or model in self.models


class RingKey(Closed):
    """A key of an issuer's ring. What it signed with a date outside its window is refused."""

    use: Literal["licence", "bundle", "crl"]
    public: RawKey
    not_before: Time
    not_after: Time
    revoked: bool = False
    allowed: dict[LicenseId, tuple[Hex32, ...]] = Field(
        default={}, description="what a revoked key signed and still counts: lic_id -> digests of licences (license.py)"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.not_after <= self.not_before:
            raise ValueError("not_after: expected a time after not_before")
        if self.allowed and not self.revoked:
            raise ValueError("allowed: expected none for a key that is not revoked")
        return self

    @property
    def key_id(self) -> str:
        return self.public_key.key_id

    @property
    def public_key(self) -> PublicKey:
        return PublicKey.from_raw(bytes.fromhex(self.public))


class RingDocument(Closed):
    """An issuer's keys, signed by both roots, whose digest is the issuer's id."""

    issuer: Hex32
    name: Name
    seq: Number
    iat: Time
    roots: Annotated[tuple[RawKey, ...], Field(min_length=2, max_length=2)]
    keys: tuple[RingKey, ...] = Field(max_length=100)


class RevocationDocument(Closed):
    """Licences that count no longer, signed by a key of the use crl."""

    issuer: Hex32
    seq: Number
    iat: Time
    revoked: dict[LicenseId, Name] = Field(description="lic_id -> reason")


class RequestDocument(Closed):
    """What an install tells an issuer of itself, signed by it. Holds hashes and public keys alone."""

    name: Name
    iat: Time
    sign_public: RawKey
    recipient_public: RawKey
    factors: FactorHashes


class ReleaseDocument(Closed):
    """An install's word that it uses a licence no longer."""

    issuer: Hex32
    lic_id: LicenseId
    install_id: Hex32
    sign_public: RawKey
    recipient_public: RawKey
    iat: Time


def document_facts(claims: Claims) -> dict[str, Any]:
    """A licence as JSON, without what it is bound to (hashes say nothing to a reader)."""
    document: dict[str, Any] = claims.model_dump(mode="json", exclude={"crit"})
    binding = claims.binding
    document["binding"] = {"mode": binding.mode, "installs": list(binding.installs)}
    if binding.mode == "host":
        document["binding"] |= {"min_match": binding.min_match, "factors": sorted(binding.factors)}
    return document
