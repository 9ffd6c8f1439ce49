"""Hostile words: SQL names and values, tokens, questions, printed documents."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

from models.assistant.documents import values
from models.assistant.spec import AssistantSpec
from models.features.source import Tables
from orchestration.catalogue import find
from pipelines.access.identity import claims_of
from pipelines.control_plan.access import Issuer
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_identifier, quote_literal
from tests.security.fuzzing import GUARD, LEDGER, TOKENS, cases, damaged

WORDS = [token.decode("utf-8", errors="replace")[:300] for token in TOKENS]
texts = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(WORDS), max_size=4).map("".join))


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as opened:
        yield opened


@cases(40, 1_000)
@given(st.lists(texts, min_size=20, max_size=40))
def test_names_and_values_come_back_as_they_were(con: duckdb.DuckDBPyConnection, words: list[str]) -> None:
    with LEDGER.of("SQL names and values").case(cases=len(words)):
        usable = {}
        for word in words:
            try:
                usable[quote_identifier(word)] = (word, quote_literal(word))
            except CellworksError:
                assert not word or "\x00" in word
        asked = ", ".join(f"{literal} AS {name}" for name, (_, literal) in usable.items())
        if usable:
            found = con.execute(f"SELECT {asked}")
            assert [each[0] for each in found.description] == [word for word, _ in usable.values()]
            assert found.fetchall() == [tuple(word for word, _ in usable.values())]


ISSUER = Issuer(url="https://id.example.org/plant", audience="cellworks", person_claim="email")
KEY = ECKey.generate_key("P-256", {"kid": "one", "use": "sig"})
KEYS: dict[str, Any] = {"keys": [KEY.as_dict(private=False)]}
CLAIMS = {"iss": ISSUER.url, "aud": "cellworks", "email": "ana@example.org", "iat": 1, "exp": int(time.time()) + 9999}
TOKEN = jwt.encode({"alg": "ES256", "kid": "one"}, CLAIMS, KEY).encode()


def _part(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


heads = damaged([b'{"alg": "ES256", "kid": "one"}', b'{"alg": "none"}', b'{"alg": "HS256", "kid": null}', b"[]", b"3"])
forged = st.builds(
    lambda head, claims: b".".join([_part(head), _part(claims), TOKEN.split(b".")[2]]),
    heads,
    damaged([json.dumps(CLAIMS).encode()]),
)


@cases(200, 6_000)
@given(st.one_of(damaged([TOKEN]), forged))
@example(b".".join([_part(b"3"), _part(b"{}"), b"x"]))
def test_no_token_but_the_issuers_is_believed(token: bytes) -> None:
    text = token.decode("ascii", errors="ignore").strip()
    with LEDGER.of("tokens").case(), GUARD.only(Path("nowhere")):
        claims = claims_of(ISSUER, text, KEYS)
        assert claims == CLAIMS, "what was not signed is believed"


JWKS = json.dumps(KEYS).encode()


@cases(60, 4_000)
@given(damaged([JWKS]))
def test_keys_of_an_issuer(content: bytes) -> None:
    try:
        keys = json.loads(content)
    except (ValueError, RecursionError):
        return
    if isinstance(keys, dict):
        with LEDGER.of("issuer keys").case():
            claims_of(ISSUER, TOKEN.decode(), keys)


SPEC = find("incoming/certificate_reader")
assert isinstance(SPEC, AssistantSpec)
assert SPEC.documents is not None
READER = SPEC.model_copy(
    update={
        "table": "printed",
        "documents": SPEC.documents.model_copy(
            update={"planned": SPEC.documents.planned.model_copy(update={"table": "planned"})}
        ),
    }
)


PRINTED = b"CERTIFICATE lfp-1\nd50: 1.25 um\nD50 | 1,25 | um\n1) d50 [mm] = 0.00125\n"
printed = damaged([PRINTED]).map(lambda content: content.decode("utf-8", errors="replace"))


@cases(8, 200)
@given(st.lists(st.one_of(texts, printed), min_size=25, max_size=25))
def test_a_printed_document(documents: list[str]) -> None:
    with duckdb.connect(config={"threads": 1}) as con:
        con.execute(
            "CREATE TABLE printed AS SELECT 'lot' || i AS material_lot_id, "
            "'lfp_supplier_' || (1 + i % 3) AS supplier_code, "
            "$texts[i + 1] AS document, TIMESTAMP '2026-09-01' AS event_at FROM range(len($texts)) AS r(i)",
            {"texts": documents},
        )
        con.execute(
            "CREATE TABLE planned AS SELECT material_lot_id, 'lfp_d50_um' AS characteristic_code, "
            "'lfp' AS material_code, "
            "'um' AS unit_code FROM printed"
        )
        with LEDGER.of("printed documents").case(cases=len(documents)):
            assert READER.documents is not None
            assert values(Tables(con, None), READER, READER.documents).num_rows == len(documents)
