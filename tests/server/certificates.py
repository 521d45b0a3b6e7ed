"""Self-signed certificates of 127.0.0.1 as PEM files."""

from __future__ import annotations

import datetime
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def make_certificate(
    folder: Path, name: str = "localhost", days: int = 100, password: bytes = b""
) -> tuple[Path, Path]:
    """Certificate and key; each appears at once, the key first. days: until it expires.  password: of the key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=200))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    for path, data in ((key_path, key_pem), (certificate_path, built.public_bytes(serialization.Encoding.PEM))):
        new = path.with_suffix(".new")
        new.write_bytes(data)
        new.replace(path)
    return certificate_path, key_path
