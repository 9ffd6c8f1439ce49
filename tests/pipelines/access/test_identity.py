"""Who is believed: only a person whom the site's source of identities vouches for, and only with the role."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from pipelines.access import identity
from pipelines.access.identity import authorise, claims_of
from pipelines.control_plan.access import NEEDED_ROLE, ROLES, Access, Issuer
from pipelines.control_plan.errors import CellworksError

NOW = int(time.time())
Token = Callable[..., str]


def _part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def test_a_token_of_the_issuer_for_us_and_in_force_is_believed(
    issuer: Issuer, keys: dict[str, Any], token: Token
) -> None:
    assert claims_of(issuer, token(), keys)["email"] == "ana@example.org"
    assert claims_of(issuer, token(aud=["other", "cellworks"], azp="cellworks"), keys)["sub"] == "17"
    assert claims_of(issuer, token(exp=int(time.time()) - 30), keys)["sub"] == "17", "within the clocks' skew"


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({"iss": "https://id.example.org/other"}, "invalid_claim (iss)"),
        ({"iss": None}, "missing_claim (iss)"),
        ({"aud": "another"}, "invalid_claim (aud)"),
        ({"aud": None}, "missing_claim (aud)"),
        ({"aud": ["another", "cellworks"]}, "another party's token"),
        ({"exp": NOW - 3600}, "expired_token (exp)"),
        ({"exp": None}, "missing_claim (exp)"),
        ({"exp": "never"}, "invalid_claim (exp)"),
        ({"nbf": NOW + 3600}, "invalid_claim (nbf)"),
        ({"iat": NOW + 3600}, "invalid_claim (iat)"),
        ({"email": None}, "missing_claim (email)"),
    ],
)
def test_another_issuer_audience_or_time_is_refused(
    issuer: Issuer, keys: dict[str, Any], token: Token, claims: dict[str, Any], found: str
) -> None:
    made = token(**claims)
    with pytest.raises(CellworksError) as refused:
        claims_of(issuer, made, keys)
    assert refused.value.found == found
    assert made not in str(refused.value)


def test_a_forged_signature_is_refused(issuer: Issuer, keys: dict[str, Any], token: Token, signer: ECKey) -> None:
    stranger = ECKey.generate_key("P-256", {"kid": "one"})
    claims = {"iss": issuer.url, "aud": issuer.audience, "exp": NOW + 300, "iat": NOW, "email": "ana@example.org"}
    signed = f"{_part({'alg': 'HS256', 'kid': 'one'})}.{_part(claims)}"
    public = signer.as_pem(private=False)
    mac = base64.urlsafe_b64encode(hmac.new(public, signed.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    head, _, tail = token().split(".")
    forged = {
        "another key": token(stranger),
        "another key without its name": token(stranger, {"kid": None}),
        "a key that it brings along": token(stranger, {"jwk": stranger.as_dict(private=False)}),
        "no signature": f"{_part({'alg': 'none'})}.{_part(claims)}.",
        "the public key as a secret": f"{signed}.{mac}",
        "other claims": f"{head}.{_part(claims | {'groups': ['admins']})}.{tail}",
        "no token": "a.b.c",
        "nothing": "....",
    }
    for what, made in forged.items():
        with pytest.raises(CellworksError, match="the token is refused"):
            claims_of(issuer, made, keys)
            pytest.fail(what)


def test_no_key_that_only_verifies_is_no_issuer(issuer: Issuer, token: Token) -> None:
    with pytest.raises(CellworksError, match="no key that signs"):
        claims_of(issuer, token(), {"keys": [{"kty": "oct", "k": "AAAA", "kid": "one"}]})


def test_a_key_that_the_library_does_not_know_keeps_nobody_out(
    issuer: Issuer, keys: dict[str, Any], token: Token
) -> None:
    unknown = {"kty": "EC", "crv": "P-356", "x": "AAAA", "y": "AAAA", "kid": "two", "use": "sig"}
    assert claims_of(issuer, token(), {"keys": [unknown, *keys["keys"]]})["email"] == "ana@example.org"
    with pytest.raises(CellworksError, match="no key that signs"):
        claims_of(issuer, token(), {"keys": [unknown]})


@given(text=st.text(max_size=200))
def test_no_text_is_taken_for_a_token(text: str) -> None:
    key = ECKey.import_key({"kty": "EC", "crv": "P-256", **_POINT})
    with pytest.raises(CellworksError, match="the token is refused"):
        claims_of(Issuer(url="https://i.example", audience="x"), text, {"keys": [key.as_dict(private=False)]})


_POINT = {  # of RFC 7515, A.3
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}


@pytest.fixture
def guarded(issuer: Issuer) -> Access:
    roles = {
        "admin": {"people": ["eve@example.org"]},
        "engineer": {"groups": ["process"]},
        "approver": {"groups": ["shift"]},
    }
    return Access.model_validate({"identity": "oidc", "issuer": issuer.model_dump(), "roles": roles})


@pytest.fixture
def signed_in(
    tmp_path: Path, keys: dict[str, Any], token: Token, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    monkeypatch.setattr(identity, "_keys", lambda issuer: keys)

    def sign_in(**claims: Any) -> Path:
        file = tmp_path / "token"
        file.touch(mode=0o600)
        file.write_text(token(**claims), encoding="ascii")
        monkeypatch.setenv("CELLWORKS_TOKEN_FILE", str(file))
        return file

    return sign_in


@pytest.fixture
def hand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    def hand(content: bytes) -> None:
        monkeypatch.setenv("CELLWORKS_TOKEN_FILE", "-")
        identity._handed_in.cache_clear()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    yield hand
    identity._handed_in.cache_clear()


def test_a_role_may_what_those_below_it_may_and_no_more(guarded: Access, signed_in: Callable[..., Path]) -> None:
    groups_of = {"engineer": ["process", "canteen"], "approver": ["process", "shift"], "admin": []}
    for role, groups in groups_of.items():
        signed_in(email="eve@example.org" if role == "admin" else "ana@example.org", groups=groups)
        for act, needed in NEEDED_ROLE.items():
            if ROLES.index(role) >= ROLES.index(needed):
                person = authorise(guarded, act)
                assert (person.role, person.source) == (role, guarded.issuer and guarded.issuer.url)
            else:
                with pytest.raises(CellworksError, match="may not do this"):
                    authorise(guarded, act)


def test_a_stranger_another_name_and_an_open_file_are_refused(guarded: Access, signed_in: Callable[..., Path]) -> None:
    signed_in(groups=["canteen"])
    with pytest.raises(CellworksError, match="may not do this") as stranger:
        authorise(guarded, "quarantine_replay")
    assert stranger.value.found == "no role at this site"
    file = signed_in(groups=["shift"])
    with pytest.raises(CellworksError, match="'li' is not who you are"):
        authorise(guarded, "rollback", "li")
    assert authorise(guarded, "rollback", "ana@example.org").name == "ana@example.org"
    file.chmod(0o640)
    with pytest.raises(CellworksError, match="others may read the token"):
        authorise(guarded, "rollback")


def test_a_token_is_handed_in_by_standard_input_and_asked_for_once(
    guarded: Access, signed_in: Callable[..., Path], hand_in: Callable[[bytes], None]
) -> None:
    """As by `sudo -u`, where the account that the command runs as can't read the file of the person who acts."""
    token = signed_in(groups=["shift"]).read_text(encoding="ascii")
    wrong = ((b"", "holds no token"), (b"x" * 16_385, "holds no token"), (b"\xff.b.c", "the token is refused"))
    for text, found in wrong:
        hand_in(text)
        with pytest.raises(CellworksError, match=found):
            authorise(guarded, "rollback")
    hand_in(f"{token}\n".encode())
    assert [authorise(guarded, "rollback").name for _ in range(2)] == ["ana@example.org"] * 2


def test_a_token_is_not_typed_into_a_terminal(guarded: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLWORKS_TOKEN_FILE", "-")
    ours, theirs = os.openpty()
    with os.fdopen(ours), os.fdopen(theirs) as terminal, pytest.raises(CellworksError, match="not typed in"):
        monkeypatch.setattr("sys.stdin", terminal)
        authorise(guarded, "rollback")


def test_without_a_token_nobody_acts(guarded: Access, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CELLWORKS_TOKEN_FILE", raising=False)
    with pytest.raises(CellworksError, match="no token is given"):
        authorise(guarded, "rollback")
    monkeypatch.setenv("CELLWORKS_TOKEN_FILE", str(tmp_path / "lost"))
    with pytest.raises(CellworksError, match="can't be read"):
        authorise(guarded, "rollback")


@pytest.mark.parametrize("variable", ["LOGNAME", "USER", "LNAME", "USERNAME"])
def test_a_variable_of_the_environment_makes_nobody_else(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    roles = {"approver": {"people": ["li"]}, "engineer": {"people": [user]}, "admin": {"people": ["eve"]}}
    access = Access.model_validate({"roles": roles})
    monkeypatch.setenv(variable, "li")
    assert authorise(access, "quarantine_replay").name == user
    with pytest.raises(CellworksError, match=f"{user} may not do this: rollback"):
        authorise(access, "rollback")


def test_on_a_laptop_names_are_taken_at_their_word_and_kept_as_such() -> None:
    assert authorise(Access(), "migration").source == "operating_system"
    person = authorise(Access(), "migration", "Li Wei")
    assert (person.name, person.role, person.source) == ("Li Wei", "unguarded", "said")
    with pytest.raises(CellworksError, match="no name of a person"):
        authorise(Access(), "migration", "Li\n3  2026-01-01 rollback granted")


def test_where_roles_are_named_the_machines_user_needs_one(two_people: Access, as_user: Callable[[str], None]) -> None:
    as_user("bo")
    assert authorise(two_people, "quarantine_replay").role == "engineer"
    with pytest.raises(CellworksError, match="bo may not do this: rollback"):
        authorise(two_people, "rollback")
    with pytest.raises(CellworksError, match="'ana' is not who you are"):
        authorise(two_people, "rollback", "ana")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"identity": "oidc"}, "identity oidc needs one"),
        ({"identity": "oidc", "issuer": {"url": "https://i", "audience": "x"}}, "nobody do anything"),
        ({"identity": "oidc", "issuer": {"url": "http://i", "audience": "x"}}, "expected an https address"),
        ({"identity": "oidc", "issuer": {"url": "https://i", "audience": "x", "algorithms": ["HS256"]}}, "RS256"),
        ({"identity": "oidc", "issuer": {"url": "https://i", "audience": "x", "algorithms": ["none"]}}, "RS256"),
        ({"second_person": ["rollback"]}, "name roles"),
        ({"second_person": ["approve_action"], "roles": {"admin": {"people": ["a"]}}}, "rollback"),
        ({"roles": {"admin": {"groups": ["a"]}}}, "groups come from an identity provider"),
        ({"roles": {"owner": {"people": ["a"]}}}, "viewer"),
        ({"roles": {"approver": {"people": ["a"]}}}, "name who is admin"),
        ({"roles": {"approver": {"people": ["a"]}, "admin": {}}}, "name who is admin"),
        ({"second_person": ["access_adopt"], "roles": {"admin": {"people": ["a", "a"]}}}, "name another admin"),
    ],
)
def test_rules_that_would_not_do_what_they_say_are_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Access.model_validate(given)
