"""Key rings as an issuer makes them: the first one, and each next one when a key comes or goes. No I/O.

A key that is followed by another counts for some time beside it, so that nobody has to change on one day, and what it
signed within its window counts for ever. A stolen key counts no longer from the next ring on, but for the licences that
the register says it signed rightly, each named by lic_id and digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from bundle.keys import PublicKey, SigningKey
from bundle.reasons import first_complaint
from licenses.claims import RingDocument, RingKey
from licenses.envelope import MAX_FILE_BYTES, Kind, seal
from licenses.errors import IssuerError
from licenses.keyring import KeyRing, Use, issuer_of, root_order

KEY_DAYS: Final = 5 * 365
SLACK: Final = timedelta(days=1)
"""A clock that is set back a little must not make today's licences older than their key."""
MAX_RING_BYTES: Final = MAX_FILE_BYTES * 3 // 4
"""A licence file holds a ring, a licence and a revocation list."""


def ring_key(use: Use, public: PublicKey, now: datetime) -> RingKey:
    """An entry for a key that begins to count now."""
    return RingKey(use=use, public=public.raw.hex(), not_before=now - SLACK, not_after=now + timedelta(days=KEY_DAYS))


def first_ring(name: str | None, roots: Sequence[SigningKey], keys: Sequence[RingKey], now: datetime) -> KeyRing:
    """The ring of a new issuer. name: None: after its id. Raises IssuerError for one that no ring may hold."""
    public = sorted((root.public_key for root in roots), key=root_order)
    issuer = issuer_of(public)
    return _sealed(
        {
            "issuer": issuer,
            "name": f"issuer {issuer[:8]}" if name is None else name,
            "seq": 1,
            "iat": now,
            "roots": tuple(root.raw.hex() for root in public),
            "keys": tuple(keys),
        },
        roots,
    )


def next_ring(ring: KeyRing, keys: Sequence[RingKey], roots: Sequence[SigningKey], now: datetime) -> KeyRing:
    """The same issuer's next ring. Raises IssuerError for one that would be too large."""
    return _sealed({**ring.document.model_dump(), "seq": ring.seq + 1, "iat": now, "keys": tuple(keys)}, roots)


def outgoing(key: RingKey, now: datetime, overlap_days: int) -> RingKey:
    """A key that another one follows: it ends when the overlap does, or before."""
    return _changed(key, not_after=min(key.not_after, now + timedelta(days=overlap_days)))


def stolen(key: RingKey, allowed: Mapping[str, Sequence[str]]) -> RingKey:
    """A key that others may hold. allowed: lic_id -> digests of what it signed rightly."""
    return _changed(key, revoked=True, allowed=dict(allowed))


def _changed(key: RingKey, **changes: object) -> RingKey:
    return RingKey.model_validate({**key.model_dump(), **changes})


def _sealed(fields: Mapping[str, object], roots: Sequence[SigningKey]) -> KeyRing:
    try:
        document = RingDocument.model_validate(fields)
    except ValidationError as error:
        raise IssuerError(f"key ring: {first_complaint(error)}. Choose another value.") from error
    sealed = seal(Kind.KEYRING, document, *sorted(roots, key=lambda root: root_order(root.public_key)))
    size = len(sealed.to_bytes())
    if size > MAX_RING_BYTES:
        raise IssuerError(
            f"key ring: expected at most {MAX_RING_BYTES} bytes, found {size}, most of them the licences that a stolen"
            " key still vouches for. Revoke those that are in use no longer, which then need not be named, and try"
            " again."
        )
    return KeyRing.open(sealed)
