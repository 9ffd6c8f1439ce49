"""A gateway with everything around it on the loopback address: an issuer, httpd, and servers that echo requests."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import Key, RSAKey

from orchestration.gateway import MODULE_DIR, Front, Ports, configuration
from pipelines.control_plan.access import Access

Start = Callable[..., AbstractContextManager["Gateway"]]
CLIENT, SECRET = "cellworks", "the-clients-secret-that-nobody-may-see"
MLFLOW_PASSWORD = "thePasswordOfTheViewerOfMlflow17"
ROLES = {
    "viewer": {"groups": ["visitors"]},
    "engineer": {"groups": ["process engineers"]},
    "approver": {"people": ["li@example.org"]},
    "admin": {"groups": ["platform"]},
}


@dataclass
class Issuer:
    """An OpenID Connect provider that signs in whomever the test says."""

    key: RSAKey
    certificate: Path
    url: str = ""
    user: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def token(self, key: Key | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        now = int(time.time())
        told = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "sub": "17", "email": "x@example.org"}
        told = {name: value for name, value in (told | claims).items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": "one"} | (header or {}), told, key or self.key)

    def answer(self, path: str, query: dict[str, str], form: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        if path == "/.well-known/openid-configuration":
            ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
            told: dict[str, Any] = {name: f"{self.url}/{end}" for name, end in ends.items()}
            listed = {"response_types_supported": ["code"], "subject_types_supported": ["public"]}
            listed |= {"id_token_signing_alg_values_supported": ["RS256"]}
            return 200, {}, told | listed | {"issuer": self.url}
        if path == "/keys":
            return 200, {}, {"keys": [self.key.as_dict(private=False)]}
        if path == "/authorize":
            code = base64.urlsafe_b64encode(os.urandom(9)).decode()
            self.codes[code] = query
            back = urlencode({"code": code, "state": query["state"]})
            return 302, {"Location": f"{query['redirect_uri']}?{back}"}, {}
        if path != "/token":
            return 404, {}, {}
        asked = self.codes.pop(form["code"])
        proof = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        assert proof == asked["code_challenge"]
        signed = self.token(nonce=asked["nonce"], **self.user)
        return 200, {}, {"access_token": "opaque", "token_type": "Bearer", "id_token": signed}


def _certificate(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that signs itself, and its key, in one file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "issuer.pem"
    pem = serialization.Encoding.PEM
    file.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, *plain))
    return file


def _serve(
    answer: Callable[[BaseHTTPRequestHandler, bytes], tuple[int, dict[str, str], Any]], certificate: Path | None = None
) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, told = answer(self, body)
            content = json.dumps(told).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(content)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
        setattr(Handler, f"do_{method}", Handler._any)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _flat(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text).items()}


@dataclass
class Gateway:
    """The gateway, its issuer and its folder."""

    url: str
    issuer: Issuer
    access: Access
    folder: Path

    def ask(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx.Response:
        headers = {**more.pop("headers", {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        kind: dict[str, Any] = {"follow_redirects": False, "timeout": 20, "trust_env": False}
        return httpx.request(method, f"{self.url}{path}", headers=headers, **kind, **more)


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    folder = Path(tempfile.mkdtemp(prefix="cellworks-issuer-"))
    folder.chmod(0o755)  # httpd that root started reads it as another user
    certificate = _certificate(folder)
    made = Issuer(RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}), certificate)

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], Any]:
        parts = urlsplit(request.path)
        return made.answer(parts.path, _flat(parts.query), _flat(body.decode()))

    server = _serve(answer, certificate)
    made.url = f"https://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def started(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts a gateway before servers at these ports, with a password for MLflow; skipped where there is no httpd."""
    httpd = shutil.which("apache2") or shutil.which("apache2", path="/usr/sbin")
    if httpd is None or not (MODULE_DIR / "mod_auth_openidc.so").is_file():
        pytest.skip("no httpd with mod_auth_openidc: apt-get install apache2 libapache2-mod-auth-openidc")

    @contextlib.contextmanager
    def start(ports: Ports, mlflow_password: str = MLFLOW_PASSWORD) -> Iterator[Gateway]:
        folder = tmp_path_factory.mktemp("gateway")
        told = {"url": issuer.url, "audience": CLIENT, "person_claim": "email", "algorithms": ["RS256"]}
        access = Access.model_validate({"identity": "oidc", "issuer": told, "roles": ROLES})
        port = free_port()
        front = Front(f"127.0.0.1:{port}", "127.0.0.1", folder, ca_bundle=issuer.certificate)
        file = folder / "httpd.conf"
        file.write_text(configuration(access, front, ports, f"{issuer.url}/keys"), encoding="utf-8")
        secrets = {"SECRET": SECRET, "PASSPHRASE": "p" * 40}
        env = {"PATH": os.environ["PATH"], "CELLWORKS_MLFLOW_PASSWORD": mlflow_password}
        env |= {f"CELLWORKS_GATEWAY_{name}": value for name, value in secrets.items()}
        process = subprocess.Popen([httpd, "-f", str(file), "-DFOREGROUND"], env=env, stderr=subprocess.PIPE, text=True)
        made = Gateway(f"http://127.0.0.1:{port}", issuer, access, folder)
        try:
            _wait(made, process)
            yield made
        finally:
            process.terminate()
            process.wait(20)

    return start


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def gateway(started: Start) -> Iterator[Gateway]:
    def behind(name: str) -> ThreadingHTTPServer:
        return _serve(
            lambda request, body: (
                200,
                {},
                {"at": name, "path": request.path, "headers": dict(request.headers.items())},
            )
        )

    servers = {name: behind(name) for name in ("dagster", "dagster_view", "mlflow")}
    with started(Ports(**{name: server.server_port for name, server in servers.items()})) as made:
        yield made
    for server in servers.values():
        server.shutdown()
        server.server_close()


def _wait(gateway: Gateway, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        assert process.poll() is None, (process.stderr.read() if process.stderr else "", gateway.folder)
        with contextlib.suppress(httpx.TransportError):
            gateway.ask("GET", "/")
            return
        threading.Event().wait(0.05)
    pytest.fail("httpd did not answer")
