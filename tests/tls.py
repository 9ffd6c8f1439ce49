"""Servers behind TLS whose certificates an authority of the test's own has signed, as a plant's are.

The PostgreSQL of the tests is built without OpenSSL, so what speaks TLS is a terminator before it: it answers libpq's
request for encryption as a server with `ssl = on` does, and takes nobody who does not ask for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from psycopg2.extensions import parse_dsn

_GSS, _TLS = b"\x00\x00\x00\x08\x04\xd2\x16\x30", b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
"""What libpq sends first: it would like Kerberos, it would like TLS."""


class Authority:
    """Signs certificates of this machine.

    Attributes:
        certificate: file of what its signatures are believed by.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        self._key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = _certificate(self._name, self._name, self._key.public_key())
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        made = made.add_extension(usage, critical=True)
        self.certificate = folder / f"{name}.pem"
        self.certificate.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self) -> tuple[Path, Path]:
        """Files of a certificate of `localhost`, which is this machine's name and no other, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        made = _certificate(subject, self._name, key.public_key())
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        made = made.add_extension(self._key_id, critical=False)
        certificate, secret = self._folder / "server.pem", self._folder / "server.key"
        certificate.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, secret


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
    )


class Terminator:
    """Speaks TLS before a PostgreSQL.

    Args:
        upstream: address of the server, as libpq takes it.
        certificate: certificate and key that it shows.

    Attributes:
        port: where it listens on `localhost`.
        encrypted: how many connections were.
        plain: how many asked for none, and were turned away.
    """

    def __init__(self, upstream: str, certificate: tuple[Path, Path]) -> None:
        self.port = self.encrypted = self.plain = 0
        parts = parse_dsn(upstream)
        self._host, self._upstream_port = parts.get("host", "localhost"), int(parts.get("port", 5432))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(*certificate)

    @contextlib.contextmanager
    def serving(self) -> Iterator[Terminator]:
        """Serve within the block."""
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(asyncio.start_server(self._serve, "localhost", 0))
        self.port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            server.close()
            left = asyncio.all_tasks(loop)
            for each in left:
                each.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left))
            loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            while (asked := await reader.readexactly(8)) == _GSS:
                writer.write(b"N")
            if asked == _TLS:
                writer.write(b"S")
                await writer.start_tls(self._tls)
                self.encrypted += 1
                server_reader, server_writer = await self._connect()
                await asyncio.gather(_pass(reader, server_writer), _pass(server_reader, writer))
            else:
                self.plain += 1
        writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._upstream_port}")
        return await asyncio.open_connection(self._host, self._upstream_port)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while some := await reader.read(65_536):
        writer.write(some)
        await writer.drain()
    writer.close()
