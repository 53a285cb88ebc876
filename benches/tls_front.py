"""HTTPS before the emulator, for both spawners: the peer speaks nothing else.

A process of its own, so that its CPU is nobody's. `Front` starts it; run as a program it relays bytes until its stdin
closes. The certificates are made for the run: an authority, and a server's RSA key of 2048 bits, the usual size. The
authority is trusted beside all that this machine trusts, because to read those takes a short process longer than TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

HOST = "127.0.0.1"
# What Debian, Red Hat and Alpine trust, where rustls-native-certs finds it by itself: one file and one folder.
TRUSTED_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
TRUSTED_FOLDER = "/etc/ssl/certs"


class Front:
    """A running front; `url` is its address, and `trust` the environment in which it is trusted."""

    def __init__(self, folder: Path, target: str) -> None:
        """Start one.

        Args:
            folder: where the certificates go.
            target: the emulator's URL.
        """
        trusted, certificate = folder / "trusted.pem", folder / "server.pem"
        _write_certificates(trusted, certificate)
        system = [Path(file).read_bytes() for file in TRUSTED_FILES if Path(file).exists()]
        trusted.write_bytes(b"\n".join([trusted.read_bytes(), *system[:1]]))
        self.trust = {"SSL_CERT_FILE": str(trusted), "SSL_CERT_DIR": TRUSTED_FOLDER}
        port = urlsplit(target).port
        self._process = subprocess.Popen(  # noqa: S603 - this very file
            [sys.executable, __file__, str(certificate), str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout  # noqa: S101 - it is PIPE
        self.host = f"{HOST}:{int(self._process.stdout.readline())}"
        self.url = f"https://{self.host}"

    def __enter__(self) -> Front:
        """The front itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._process.communicate()


def _write_certificates(authority_file: Path, server_file: Path) -> None:
    # cryptography comes with JupyterHub (for internal_ssl) and with moto.
    from cryptography import x509  # noqa: PLC0415 - the relaying process needs none of it
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    def certificate(subject: str, key: rsa.RSAPrivateKey, *, authority: bool) -> x509.Certificate:
        now = datetime.now(timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("cloudspawner benches"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            address = x509.IPAddress(ipaddress.ip_address(HOST))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        return builder.sign(authority_key, hashes.SHA256())

    authority_key = rsa.generate_private_key(65537, 2048)
    server_key = rsa.generate_private_key(65537, 2048)
    pem = serialization.Encoding.PEM
    authority_file.write_bytes(certificate("cloudspawner benches", authority_key, authority=True).public_bytes(pem))
    plain = serialization.NoEncryption()
    server_file.write_bytes(
        server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        + certificate(HOST, server_key, authority=False).public_bytes(pem)
    )


async def _relay(certificate: str, port: int) -> None:
    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(HOST, port)
        await asyncio.gather(pipe(reader, server_writer), pipe(server_reader, writer))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(connected, HOST, 0, ssl=context, backlog=1024)
    async with server:
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(_relay(sys.argv[1], int(sys.argv[2])))
