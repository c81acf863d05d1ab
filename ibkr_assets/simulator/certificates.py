"""The certificate an https gateway shows: one of the user's, or a self-signed one made for him.

Serving it is `api_port`'s work; what a client trusts is the client's.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from ibkr_assets.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509

_LIFE = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of a certificate and its key."""

    cert: Path
    key: Path

    @property
    def pin(self) -> str:
        """`sha256:` and the hex digest of the certificate's DER, as a client pins it. Raises ConfigurationError."""
        try:
            text = self.cert.read_text()
            begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
            first = text[text.index(begin) : text.index(end) + len(end)]
            return "sha256:" + hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"tls_cert: cannot read {self.cert}: {error}") from None


def self_signed(directory: Path, host: str) -> Certificate:
    """The certificate in `directory`, made anew when there is none for `host` that is valid for another day.

    It is for 127.0.0.1, localhost and `host`. Raises ConfigurationError when the directory cannot be written.
    """
    made = Certificate(directory / "gateway-cert.pem", directory / "gateway-key.pem")
    now = datetime.now(UTC)  # certificates live in real time
    if not _is_good(made, host, now + timedelta(days=1)):
        cert, key = _make(host, now)
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            made.key.unlink(missing_ok=True)
            with os.fdopen(os.open(made.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(key)
            made.cert.write_bytes(cert)
        except OSError as error:
            raise ConfigurationError(f"tls_self_signed: cannot write {directory}: {error.strerror}") from None
    return made


def _is_good(made: Certificate, host: str, until: datetime) -> bool:
    from cryptography import x509

    try:
        known = x509.load_pem_x509_certificate(made.cert.read_bytes())
        names = known.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    return made.key.exists() and _name_of(host) in names and known.not_valid_after_utc > until


def _make(host: str, now: datetime) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "simulated gateway")])
    names = [_name_of(text) for text in dict.fromkeys(("127.0.0.1", "localhost", host))]
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return cert.public_bytes(pem), key.private_bytes(pem, pkcs8, plain)


def _name_of(text: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)
