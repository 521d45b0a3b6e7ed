"""A ring speaks for an issuer with both its roots alone, and its keys for what they are for while they count."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle.keys import SIGNATURE_BYTES, SigningKey
from licenses.claims import Binding, Claims, RevocationDocument, RingDocument, RingKey, time_of
from licenses.envelope import Kind, Sealed, read_block, read_blocks, seal
from licenses.errors import EXIT_CODES, LicenseError
from licenses.keyring import KeyRing, Use, issuer_of, root_order
from licenses.license import license_digest, open_license
from licenses.revocation import open_revocations

NOW = time_of("2026-05-01T00:00:00Z")
ROOTS = sorted((SigningKey.generate(), SigningKey.generate()), key=lambda key: root_order(key.public_key))
STRANGER = SigningKey.generate()
ISSUER = issuer_of(root.public_key for root in ROOTS)
KEY, CRL_KEY = SigningKey.generate(), SigningKey.generate()


def ring_key(key: SigningKey, use: Use = "licence", **changes: object) -> RingKey:
    window = {"not_before": NOW, "not_after": NOW + timedelta(days=365)}
    return RingKey.model_validate({"use": use, "public": key.public_key.raw.hex(), **window, **changes})


def ring_document(*keys: RingKey, **changes: object) -> RingDocument:
    roots = [root.public_key.raw.hex() for root in ROOTS]
    fields = {"issuer": ISSUER, "name": "Maker", "seq": 1, "iat": NOW, "roots": roots, "keys": keys}
    return RingDocument.model_validate({**fields, **changes})


def ring_of(*keys: RingKey) -> KeyRing:
    sealed = seal(Kind.KEYRING, ring_document(*keys), *ROOTS)
    return KeyRing.open(read_block(sealed.to_bytes(), Kind.KEYRING))


def license_of(key: SigningKey, lic_id: str = "lic-1", iat: datetime = NOW, models: tuple[str, ...] = ("a",)) -> Sealed:
    claims = Claims(
        lic_id=lic_id, seq=1, licensee="Customer", iat=iat, nbf=iat, exp=None, binding=Binding(mode="none"),
        models=models, actions=("serve",),
    )  # fmt: skip
    return seal(Kind.LICENSE, claims, key)


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(LicenseError) as refused:
        action()
    return refused.value.code


def test_an_issuer_is_its_two_roots_in_either_order():
    assert issuer_of(root.public_key for root in reversed(ROOTS)) == ISSUER
    assert issuer_of([ROOTS[0].public_key, STRANGER.public_key]) != ISSUER
    ring = ring_of(ring_key(KEY))
    assert (ring.issuer, ring.name, ring.seq, ring.iat) == (ISSUER, "Maker", 1, NOW)


def test_a_ring_counts_with_both_roots_signatures_in_order_and_with_no_others():
    document = ring_document(ring_key(KEY))
    good = seal(Kind.KEYRING, document, *ROOTS)
    swapped = good.signature[SIGNATURE_BYTES:] + good.signature[:SIGNATURE_BYTES]
    refused = [
        seal(Kind.KEYRING, document, ROOTS[0]),
        seal(Kind.KEYRING, document, ROOTS[0], ROOTS[0]),
        seal(Kind.KEYRING, document, *reversed(ROOTS)),
        seal(Kind.KEYRING, document, ROOTS[0], STRANGER),
        seal(Kind.KEYRING, document, *ROOTS, STRANGER),
        dataclasses.replace(good, signature=swapped),
        dataclasses.replace(good, signature=good.signature[:SIGNATURE_BYTES] * 2),
        dataclasses.replace(good, payload=good.payload.replace(b"Maker", b"Faker")),
    ]
    KeyRing.open(good)
    for sealed in refused:
        assert code_of(lambda sealed=sealed: KeyRing.open(sealed)) == "LICENSE_BAD_SIGNATURE"


def test_strangers_roots_make_a_ring_of_their_own_and_never_one_of_this_issuer():
    theirs = sorted((STRANGER, SigningKey.generate()), key=lambda key: root_order(key.public_key))
    roots = [root.public_key.raw.hex() for root in theirs]
    named = seal(Kind.KEYRING, ring_document(ring_key(KEY), roots=roots), *theirs)
    assert code_of(lambda: KeyRing.open(named)) == "LICENSE_BAD_SIGNATURE"
    own = ring_document(ring_key(KEY), roots=roots, issuer=issuer_of(root.public_key for root in theirs))
    assert KeyRing.open(seal(Kind.KEYRING, own, *theirs)).issuer != ISSUER


def test_a_ring_of_one_root_twice_or_of_one_key_for_two_uses_is_refused():
    root = ROOTS[0].public_key
    once = ring_document(issuer=issuer_of([root, root]), roots=[root.raw.hex()] * 2)
    assert code_of(lambda: KeyRing.open(seal(Kind.KEYRING, once, ROOTS[0], ROOTS[0]))) == "LICENSE_MALFORMED"
    assert code_of(lambda: ring_of(ring_key(KEY), ring_key(KEY, "crl"))) == "LICENSE_MALFORMED"
    assert code_of(lambda: ring_of(ring_key(ROOTS[1]))) == "LICENSE_MALFORMED"


def test_every_changed_byte_of_a_licence_file_is_refused():
    ring = seal(Kind.KEYRING, ring_document(ring_key(KEY), ring_key(CRL_KEY, "crl")), *ROOTS)
    document = RevocationDocument(issuer=ISSUER, seq=1, iat=NOW, revoked={"lic-2": "not paid"})
    blocks = (ring, license_of(KEY), seal(Kind.REVOCATIONS, document, CRL_KEY))
    file = b"".join(block.to_bytes() for block in blocks).strip()

    def open_file(data: bytes) -> None:
        first, second, third = read_blocks(data)
        found = KeyRing.open(first)
        open_license(second, found)
        open_revocations(third, found)

    open_file(file)
    for place in range(len(file)):
        changed = bytearray(file)
        changed[place] ^= 1 << place % 8
        assert code_of(lambda changed=bytes(changed): open_file(changed)) in EXIT_CODES


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.text(),
        lambda each: st.dictionaries(st.sampled_from(["roots", "issuer", "keys", "seq"]), each) | st.lists(each),
    ).map(lambda each: json.dumps(each).encode())
)
def test_arbitrary_bytes_are_no_ring(payload: bytes):
    signature = b"".join(root.sign(Kind.KEYRING.prefix + payload) for root in ROOTS)
    kid = "+".join(root.public_key.key_id for root in ROOTS)
    refused = code_of(lambda: KeyRing.open(Sealed(Kind.KEYRING, kid, payload, signature)))
    assert refused in ("LICENSE_MALFORMED", "LICENSE_BAD_SIGNATURE")


def test_a_block_of_another_kind_is_no_ring_licence_or_list():
    ring = ring_of(ring_key(KEY))
    assert code_of(lambda: KeyRing.open(license_of(KEY))) == "LICENSE_MALFORMED"
    assert code_of(lambda: open_license(ring.sealed, ring)) == "LICENSE_MALFORMED"
    assert code_of(lambda: open_revocations(license_of(KEY), ring)) == "LICENSE_MALFORMED"


@pytest.mark.parametrize("days", [-1, 366])
def test_a_key_counts_for_what_is_dated_within_its_window(days: int):
    ring = ring_of(ring_key(KEY))
    assert open_license(license_of(KEY), ring).issuer == ISSUER
    assert open_license(license_of(KEY, iat=NOW + timedelta(days=365)), ring).claims.lic_id == "lic-1"
    outside = license_of(KEY, iat=NOW + timedelta(days=days))
    assert code_of(lambda: open_license(outside, ring)) == "LICENSE_UNKNOWN_KEY"


def test_a_key_counts_for_its_own_use_alone():
    ring = ring_of(ring_key(KEY), ring_key(CRL_KEY, "crl"))
    assert code_of(lambda: open_license(license_of(CRL_KEY), ring)) == "LICENSE_UNKNOWN_KEY"
    assert code_of(lambda: open_license(license_of(STRANGER), ring)) == "LICENSE_UNKNOWN_KEY"
    document = RevocationDocument(issuer=ISSUER, seq=1, iat=NOW, revoked={"lic-1": "not paid"})
    assert open_revocations(seal(Kind.REVOCATIONS, document, CRL_KEY), ring).reason("lic-1") == "not paid"
    assert code_of(lambda: open_revocations(seal(Kind.REVOCATIONS, document, KEY), ring)) == "LICENSE_UNKNOWN_KEY"


def test_a_list_of_another_issuer_is_refused_though_a_key_of_this_ring_signed_it():
    document = RevocationDocument(issuer="0" * 32, seq=1, iat=NOW, revoked={})
    ring = ring_of(ring_key(CRL_KEY, "crl"))
    assert code_of(lambda: open_revocations(seal(Kind.REVOCATIONS, document, CRL_KEY), ring)) == "LICENSE_MALFORMED"


def test_of_a_stolen_keys_licences_those_count_that_the_issuer_names_and_not_others_under_their_ids():
    old = license_of(KEY)
    ring = ring_of(ring_key(KEY, revoked=True, allowed={"lic-1": [license_digest(old)]}))
    assert open_license(old, ring).claims.models == ("a",)
    for forged in (license_of(KEY, "lic-2"), license_of(KEY, models=("*",))):
        assert code_of(lambda forged=forged: open_license(forged, ring)) == "LICENSE_REVOKED"


def test_lists_of_a_revoked_key_count_no_longer():
    document = RevocationDocument(issuer=ISSUER, seq=1, iat=NOW, revoked={"lic-1": "not paid"})
    ring = ring_of(ring_key(CRL_KEY, "crl", revoked=True))
    assert code_of(lambda: open_revocations(seal(Kind.REVOCATIONS, document, CRL_KEY), ring)) == "LICENSE_REVOKED"
