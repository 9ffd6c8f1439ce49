"""Who gets through the gateway, by real sockets: httpd with mod_auth_openidc, an issuer, and echoing servers behind."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from joserfc.jwk import RSAKey

from orchestration.gateway import Front, Ports, configuration
from pipelines.access.identity import authorise
from pipelines.access.keys import fetch_keys, keys_address
from pipelines.control_plan.access import Access
from pipelines.control_plan.errors import CellworksError

SEARCH = "/mlflow/ajax-api/2.0/mlflow/runs/search"
ALIAS = "/mlflow/api/2.0/mlflow/registered-models/alias"
CLAIMS = {
    "stranger": {"groups": ["canteen"]},
    "viewer": {"groups": ["canteen", "visitors"]},
    "engineer": {"groups": ["process engineers"]},
    "approver": {"email": "li@example.org"},
    "admin": {"groups": ["platform"]},
}
LOOKERS = ("viewer", "engineer", "approver", "admin")
REQUESTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("GET", "/dagster-view/runs"): LOOKERS,
    ("POST", "/dagster-view/graphql"): LOOKERS,  # that server is started read-only
    ("GET", "/dagster/runs"): LOOKERS[1:],
    ("POST", "/dagster/graphql"): LOOKERS[1:],
    ("GET", "/mlflow/"): LOOKERS,
    ("POST", SEARCH): LOOKERS,
    ("POST", "/mlflow/graphql"): LOOKERS,
    ("POST", "/mlflow/ajax-api/2.0/mlflow/registered-models/get-latest-versions"): LOOKERS,
    # Nobody changes a model here: the commands do it, which write it down and ask for a second person.
    ("POST", "/mlflow/api/2.0/mlflow/runs/delete"): (),
    ("POST", ALIAS): (),
    ("DELETE", ALIAS): (),
    ("PUT", ALIAS): (),
    ("PATCH", "/mlflow/api/2.0/mlflow/registered-models/update"): (),
    ("DELETE", "/mlflow/api/2.0/mlflow/registered-models/delete"): (),
    ("POST", "/mlflow/api/2.0/mlflow/registered-models/create"): (),
    ("POST", "/mlflow/api/2.0/mlflow/model-versions/set-tag"): (),
    ("POST", "/mlflow/api/2.0/mlflow/users/create"): (),
    ("POST", "/mlflow/api/2.0/mlflow/runs/delete/search/../../delete"): (),
    ("GET", "/"): (),
    ("GET", "/elsewhere"): (),
    ("GET", "/dagster-view/../dagster/runs"): LOOKERS[1:],
    ("GET", "/dagster-view/%2e%2e/dagster/runs"): LOOKERS[1:],
    ("GET", "/dagster-view/%2e%2e%2fdagster/runs"): (),
}


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_each_role_gets_to_what_is_its_and_no_further(gateway: Any, method: str, path: str) -> None:
    passed, sent = set(), {"Content-Type": "application/json"} if method == "POST" else {}
    for role, claims in CLAIMS.items():
        answer = gateway.ask(method, path, gateway.issuer.token(**claims), headers=sent)
        assert answer.status_code in (200, 401, 403, 404), (role, answer.status_code)
        if answer.status_code == 200:
            passed.add(role)
    assert passed == set(REQUESTS[method, path])


def _part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def _forged(issuer: Any) -> dict[str, str]:
    now, admin = int(time.time()), CLAIMS["admin"]
    claims = {"iss": issuer.url, "aud": "cellworks", "exp": now + 300, "iat": now, "email": "x@example.org", **admin}
    signed = f"{_part({'alg': 'HS256', 'kid': 'one'})}.{_part(claims)}"
    mac = hmac.new(issuer.key.as_pem(private=False), signed.encode(), hashlib.sha256).digest()
    head, _, tail = issuer.token(**admin).split(".")
    return {
        "expired": issuer.token(exp=now - 3600, iat=now - 7200, **admin),
        "another audience": issuer.token(aud="another", **admin),
        "for several, from another client": issuer.token(aud=["another", "cellworks"], azp="another", **admin),
        "for several, from nobody": issuer.token(aud=["cellworks", "another"], **admin),
        "another issuer": issuer.token(iss="https://id.example.org", **admin),
        "no audience": issuer.token(aud=None, **admin),
        "another key": issuer.token(RSAKey.generate_key(2048, {"kid": "one"}), **admin),
        "an unknown key": issuer.token(RSAKey.generate_key(2048, {"kid": "two"}), {"kid": "two"}, **admin),
        "no signature": f"{_part({'alg': 'none'})}.{_part(claims)}.",
        "the public key as a secret": f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}",
        "other claims": f"{head}.{_part(claims)}.{tail}",
        "no token": "abc",
    }


def test_a_token_that_is_not_the_issuers_for_us_and_in_force_gets_nowhere(gateway: Any) -> None:
    assert gateway.ask("GET", "/dagster/runs", gateway.issuer.token(**CLAIMS["admin"])).status_code == 200
    for what, token in _forged(gateway.issuer).items():
        for path in ("/dagster/runs", "/dagster-view/runs", "/mlflow/"):
            assert gateway.ask("GET", path, token).status_code in (401, 403), what


def test_a_token_for_several_is_believed_from_our_own_client(gateway: Any) -> None:
    for told in ({"aud": ["cellworks", "another"], "azp": "cellworks"}, {"aud": ["cellworks"]}, {"azp": "another"}):
        token = gateway.issuer.token(**told, **CLAIMS["admin"])
        for path in ("/dagster/runs", "/mlflow/"):
            assert gateway.ask("GET", path, token).status_code == 200, told


JSON = {"Content-Type": "application/json"}
SOCKET = {"Connection": "Upgrade", "Upgrade": "websocket"}
GRAPHQL = "/dagster/graphql"
ASKED: dict[str, tuple[str, str, dict[str, str], int]] = {
    "a program": ("POST", GRAPHQL, JSON, 200),
    "our page": ("POST", GRAPHQL, {**JSON, "Sec-Fetch-Site": "same-origin"}, 200),
    "our page, with its letters": ("POST", GRAPHQL, {"Content-Type": "application/json; charset=utf-8"}, 200),
    "another site's page": ("POST", GRAPHQL, {**JSON, "Sec-Fetch-Site": "cross-site"}, 403),
    "a neighbour's page": ("POST", GRAPHQL, {**JSON, "Sec-Fetch-Site": "same-site"}, 403),
    "a form": ("POST", f"{GRAPHQL}?query=x", {"Content-Type": "application/x-www-form-urlencoded"}, 403),
    "a form that says json": ("POST", GRAPHQL, {"Content-Type": "text/plain; application/json"}, 403),
    "no kind of content": ("POST", f"{GRAPHQL}?query=x", {}, 403),
    "a statement by GET": ("GET", f"{GRAPHQL}?query=mutation", {}, 403),
    "a statement by GET in other letters": ("GET", "/dagster/%67raphql?query=mutation", {}, 403),
    "our page's socket": ("GET", GRAPHQL, {**SOCKET, "Sec-Fetch-Site": "same-origin"}, 200),
    "another site's socket": ("GET", GRAPHQL, {**SOCKET, "Sec-Fetch-Site": "cross-site"}, 403),
    "a link from another site": ("GET", "/dagster/runs", {"Sec-Fetch-Site": "cross-site"}, 200),
    "an event from outside": ("POST", "/dagster/report_asset_materialization/x", JSON, 403),
    "a check from outside": ("POST", "/dagster/report_asset_check/x", {}, 403),
    "a viewer's socket": ("GET", "/dagster-view/graphql", SOCKET, 200),
    "a viewer's statement by GET": ("GET", "/dagster-view/graphql?query=x", {}, 403),
}


@pytest.mark.parametrize("who", ASKED)
def test_what_acts_in_dagster_comes_from_its_own_pages_or_from_a_program(gateway: Any, who: str) -> None:
    method, path, sent, status = ASKED[who]
    token = gateway.issuer.token(**CLAIMS["engineer"])
    assert gateway.ask(method, path, token, headers=sent).status_code == status


def test_without_a_token_a_browser_is_sent_to_the_issuer_and_a_program_is_refused(gateway: Any) -> None:
    browser = gateway.ask("GET", "/dagster-view/runs")
    assert browser.status_code == 302
    assert browser.headers["Location"].startswith(f"{gateway.issuer.url}/authorize?")
    program = gateway.ask("POST", "/dagster/graphql", headers={**JSON, "X-Requested-With": "XMLHttpRequest"})
    assert program.status_code == 401
    claimed = {
        "X-Forwarded-User": "li@example.org",
        "OIDC_CLAIM_email": "li@example.org",
        "X-Requested-With": "XMLHttpRequest",
    }
    assert gateway.ask("GET", "/dagster/runs", headers=claimed).status_code == 401


def test_people_sign_in_at_the_issuer_and_get_their_role(gateway: Any) -> None:
    trust = ssl.create_default_context(cafile=str(gateway.issuer.certificate))
    for role, status in (("viewer", 403), ("engineer", 200)):
        gateway.issuer.user = CLAIMS[role]
        with httpx.Client(
            base_url=gateway.url, verify=trust, follow_redirects=True, timeout=20, trust_env=False
        ) as browser:
            first = browser.get("/dagster-view/runs")
            assert (first.status_code, first.json()["at"], first.json()["path"]) == (
                200,
                "dagster_view",
                "/dagster-view/runs",
            )
            assert browser.get("/dagster/runs").status_code == status
            cookies = [cookie for cookie in browser.cookies.jar if "mod_auth_openidc_session" in cookie.name]
            assert cookies
            assert all(cookie.has_nonstandard_attr("HttpOnly") for cookie in cookies)


def test_the_command_line_believes_the_same_tokens(
    gateway: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(gateway.issuer.certificate))
    file = tmp_path / "token"
    file.touch(mode=0o600)
    monkeypatch.setenv("CELLWORKS_TOKEN_FILE", str(file))
    file.write_text(gateway.issuer.token(**CLAIMS["approver"]))
    person = authorise(gateway.access, "rollback")
    assert (person.name, person.role, person.source) == ("li@example.org", "approver", gateway.issuer.url)
    for what, token in _forged(gateway.issuer).items():
        file.write_text(token)
        with pytest.raises(CellworksError, match="the token is refused"):
            authorise(gateway.access, "rollback")
            pytest.fail(what)
    elsewhere = gateway.access.issuer.model_copy(update={"url": f"{gateway.issuer.url}/other"})
    with pytest.raises(CellworksError, match="keys can't be read"):
        fetch_keys(elsewhere)


def test_nobody_is_served_by_root(gateway: Any) -> None:
    pid = int((gateway.folder / "httpd.pid").read_text())
    serving = psutil.Process(pid).children()
    assert serving
    assert "root" not in {each.username() for each in serving}


def test_the_gateways_command_finds_an_issuer_whose_certificate_a_plants_own_authority_signed(
    gateway: Any, tmp_path: Path
) -> None:
    with pytest.raises(CellworksError, match="CERTIFICATE_VERIFY_FAILED"):
        keys_address(gateway.access.issuer)
    assert keys_address(gateway.access.issuer, gateway.issuer.certificate) == f"{gateway.issuer.url}/keys"
    with pytest.raises(CellworksError, match="No such file"):
        keys_address(gateway.access.issuer, tmp_path / "nowhere.pem")


def test_what_stands_behind_learns_the_name_and_neither_token_nor_session(gateway: Any) -> None:
    token = gateway.issuer.token(**CLAIMS["approver"])
    sent = {"X-Forwarded-User": "root", "Cookie": "mod_auth_openidc_session=1", "X-MLflow-Authorization": "Basic YTpi"}
    for path, signed_in in {"/mlflow/": {"authorization"}, "/dagster/runs": set()}.items():
        seen = gateway.ask("GET", path, token, headers=sent).json()["headers"]
        assert seen["X-Forwarded-User"] == "li@example.org"
        hidden = {"authorization", "cookie", "x-mlflow-authorization"}
        assert hidden & {name.lower() for name in seen} == signed_in
        assert token not in json.dumps(seen)


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def test_the_gateway_signs_in_to_mlflow_as_its_viewer_whoever_asks(gateway: Any) -> None:
    for role in LOOKERS:
        answer = gateway.ask("GET", "/mlflow/", gateway.issuer.token(**CLAIMS[role]))
        assert answer.json()["headers"]["Authorization"] == _basic("viewer", "thePasswordOfTheViewerOfMlflow17"), role
    # Nobody gets by with a user of MLflow's own, be it the right one.
    for user, password in (("admin", "x" * 40), ("viewer", "thePasswordOfTheViewerOfMlflow17")):
        sent = {"Authorization": _basic(user, password), "X-Requested-With": "XMLHttpRequest"}
        assert gateway.ask("GET", "/mlflow/", headers=sent).status_code == 401


def test_no_secret_is_in_the_configuration_or_the_logs(gateway: Any) -> None:
    token = gateway.issuer.token(**CLAIMS["viewer"])
    gateway.ask("GET", f"/dagster/runs?access_token={token}", token)
    gateway.ask("GET", "/dagster/runs", _forged(gateway.issuer)["expired"])
    texts = {file.name: file.read_text(encoding="utf-8", errors="replace") for file in gateway.folder.glob("*.*")}
    assert {"httpd.conf", "access.log", "error.log"} <= set(texts)
    secrets = ("the-clients-secret", "p" * 40, "thePasswordOfTheViewer", token.rpartition(".")[2], token.split(".")[1])
    assert [(name, secret) for name, text in texts.items() for secret in secrets if secret in text] == []


def _access(**roles: Any) -> Access:
    issuer = {"url": "https://id.example.org", "audience": "cellworks"}
    return Access.model_validate({"identity": "oidc", "issuer": issuer, "roles": roles})


KEYS = "https://id.example.org/keys"
PORTS = Ports(dagster=3000, dagster_view=3001, mlflow=5000)


@pytest.mark.parametrize("name", ['a" \n Require all granted #', "a\\", "${HOME}", "a\nb", "a%b"])
def test_a_name_that_would_be_configuration_is_refused(tmp_path: Path, name: str) -> None:
    front = Front("127.0.0.1:8443", "plant.example.org", tmp_path)
    with pytest.raises(CellworksError, match="can't stand in the gateway's configuration"):
        configuration(_access(admin={"groups": [name]}), front, PORTS, KEYS)


def test_a_gateway_open_to_the_outside_needs_a_certificate_and_a_provider(tmp_path: Path) -> None:
    access = _access(admin={"people": ["li"]})
    with pytest.raises(CellworksError, match="unencrypted"):
        configuration(access, Front("0.0.0.0:443", "plant.example.org", tmp_path), PORTS, KEYS)
    made = tmp_path / "plant.pem"
    text = configuration(access, Front("0.0.0.0:443", "plant.example.org", tmp_path, made, made), PORTS, KEYS)
    assert "SSLEngine On" in text
    with pytest.raises(CellworksError, match="needs an identity provider"):
        configuration(Access(), Front("127.0.0.1:8443", "plant.example.org", tmp_path), PORTS, KEYS)
