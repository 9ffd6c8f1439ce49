"""An identity provider's keys, and tokens that it or somebody else signed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key

from pipelines.control_plan.access import Access, Issuer

URL, CLIENT = "https://id.example.org/plant", "cellworks"


@pytest.fixture(scope="session")
def signer() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": "one", "use": "sig"})


@pytest.fixture(scope="session")
def keys(signer: ECKey) -> dict[str, Any]:
    return {"keys": [signer.as_dict(private=False)]}


@pytest.fixture
def issuer() -> Issuer:
    return Issuer(url=URL, audience=CLIENT, person_claim="email")


@pytest.fixture
def token(signer: ECKey) -> Callable[..., str]:
    def make(key: Key = signer, header: dict[str, Any] | None = None, **claims: Any) -> str:
        now = int(time.time())
        told = {
            "iss": URL,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "sub": "17",
            "email": "ana@example.org",
        } | claims
        told = {name: value for name, value in told.items() if value is not None}
        head = {"alg": "ES256", "kid": "one"} | (header or {})
        return jwt.encode({name: value for name, value in head.items() if value is not None}, told, key)

    return make


@pytest.fixture
def two_people() -> Access:
    roles = {"approver": {"people": ["ana", "li"]}, "engineer": {"people": ["bo"]}, "admin": {"people": ["eve"]}}
    return Access.model_validate({"roles": roles, "second_person": ["rollback"]})
