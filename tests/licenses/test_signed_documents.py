"""What is signed is believed, and nothing else: every change of a licence file is refused with a code."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle.keys import SigningKey
from licenses.claims import ACTIONS, Binding, Claims, text_of, time_of
from licenses.envelope import MAX_FILE_BYTES, Kind, Sealed, parse_payload, read_block, seal
from licenses.errors import EXIT_CODES, LicenseError

KEY = SigningKey.generate()
ISSUED = time_of("2026-01-02T03:04:05Z")
CLAIMS = Claims(
    lic_id="lic-1", seq=1, licensee="Müller & Söhne", iat=ISSUED, nbf=ISSUED, exp=None, binding=Binding(mode="none"),
    models=("*",), actions=ACTIONS,
)  # fmt: skip
FILE = seal(Kind.LICENSE, CLAIMS, KEY).to_bytes()


def read(data: bytes) -> Claims:
    """As an install does: the key is looked up by its id, the signature checked, then the payload parsed."""
    block = read_block(data, Kind.LICENSE)
    if block.kid != KEY.public_key.key_id:
        raise LicenseError("LICENSE_UNKNOWN_KEY", block.kid)
    return parse_payload(block.verify(KEY.public_key), Claims, "licence")


def signed(payload: bytes) -> bytes:
    kind = Kind.LICENSE
    return Sealed(kind, KEY.public_key.key_id, payload, KEY.sign(kind.prefix + payload)).to_bytes()


def armoured(document: str) -> bytes:
    text = base64.b64encode(document.encode())
    lines = b"\n".join(text[i : i + 64] for i in range(0, len(text), 64))
    return b"-----BEGIN ONSIGHT LICENSE-----\n" + lines + b"\n-----END ONSIGHT LICENSE-----\n"


def test_a_licence_comes_back_as_it_was_signed():
    assert read(FILE) == CLAIMS
    assert read(b"\n" + FILE.replace(b"\n", b"\r\n") + b"\n \n") == CLAIMS


def test_every_flipped_bit_of_a_licence_is_refused():
    for place in range(len(FILE.strip())):
        for bit in range(8):
            changed = bytearray(FILE)
            changed[place] ^= 1 << bit
            with pytest.raises(LicenseError) as refused:
                read(bytes(changed))
            assert refused.value.code in EXIT_CODES


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, len(FILE)), st.integers(0, 40), st.binary(max_size=40))
def test_cut_and_pasted_bytes_are_refused(start: int, length: int, inserted: bytes):
    changed = FILE[:start] + inserted + FILE[start + length :]
    if changed.replace(b"\r\n", b"\n").strip(b"\n \t") == FILE.strip():
        assert read(changed) == CLAIMS
    else:
        with pytest.raises(LicenseError):
            read(changed)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_arbitrary_signed_bytes_are_no_licence(payload: bytes):
    with pytest.raises(LicenseError) as refused:
        read(signed(payload))
    assert refused.value.code == "LICENSE_MALFORMED"


def test_a_signature_over_another_kind_is_no_licences():
    payload = seal(Kind.LICENSE, CLAIMS, KEY).payload
    other = Sealed(Kind.LICENSE, KEY.public_key.key_id, payload, KEY.sign(Kind.REVOCATIONS.prefix + payload))
    with pytest.raises(LicenseError) as refused:
        read(other.to_bytes())
    assert refused.value.code == "LICENSE_BAD_SIGNATURE"


@pytest.mark.parametrize(
    "change",
    [
        {"crit": ["seats"], "seats": 3},
        {"exp": "2020-01-01T00:00:00Z"},
        {"iat": "2026-01-02"},
        {"models": []},
        {"actions": ["fly"]},
        {"binding": {"mode": "site"}},
        {"binding": {"mode": "host", "installs": ["0" * 32], "min_match": 1, "factors": {"machine-id": ["0" * 32]}}},
        {"binding": {"mode": "none", "unknown": 1}},
        {"licensee": "a\nb"},
    ],
    ids=str,
)
def test_claims_that_make_no_sense_are_refused_though_signed(change: dict[str, object]):
    payload = json.dumps({**CLAIMS.model_dump(mode="json"), **change}).encode()
    with pytest.raises(LicenseError) as refused:
        read(signed(payload))
    assert refused.value.code == "LICENSE_MALFORMED"


def test_a_claim_of_a_newer_version_is_passed_over_where_it_is_not_critical():
    payload = json.dumps({**CLAIMS.model_dump(mode="json"), "seats": 3}).encode()
    assert read(signed(payload)) == CLAIMS


@pytest.mark.parametrize("payload", [b'{"seq":1,"seq":2}', b"[" * 50_000, b'{"seq":NaN}', b"\xff", b""], ids=len)
def test_hostile_json_is_refused_though_signed(payload: bytes):
    with pytest.raises(LicenseError) as refused:
        read(signed(payload))
    assert refused.value.code == "LICENSE_MALFORMED"


def test_an_algorithm_in_the_file_is_refused():
    sealed = seal(Kind.LICENSE, CLAIMS, KEY)
    fields = {"kid": sealed.kid, "payload": base64.b64encode(sealed.payload).decode(), "sig": "", "v": 1}
    for document in (json.dumps({**fields, "alg": "none"}), '{"kid":"a","kid":"b"}', "[" * 9000, "1", "null"):
        with pytest.raises(LicenseError) as refused:
            read(armoured(document))
        assert refused.value.code == "LICENSE_MALFORMED"


def test_a_file_beyond_64_kib_is_refused_before_it_is_read():
    with pytest.raises(LicenseError, match=str(MAX_FILE_BYTES)):
        read(FILE + b"\n" * MAX_FILE_BYTES)


@pytest.mark.parametrize("text", ["0005-01-02T03:04:05Z", "2028-02-29T23:59:59Z", "8999-12-31T23:59:59Z"])
def test_a_time_is_written_as_it_is_read(text: str) -> None:
    assert text_of(time_of(text)) == text
