"""Moves of aliases in the chained audit: what a forger with SQL does to their table is found."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from models.registry.aliases import new_move, recover
from models.registry.audit import Move, open_moves, standing, write_phase
from pipelines.access.chain import Entry
from pipelines.access.ledger import ACCEPT, canonical, record, verify
from pipelines.lake.connection import writer
from pipelines.lake.home import Home

MODEL = "mine.one"
_TABLE = "lake.ops.alias_audit"
_FIRST = f"move_id = (SELECT move_id FROM {_TABLE} ORDER BY written_at LIMIT 1)"
_DONE, _INTENT = (f"FROM {_TABLE} WHERE phase = '{phase}' AND {_FIRST}" for phase in ("done", "intent"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Version 1 was champion, version 2 is."""
    made = Home(tmp_path / "home").ensure()
    for number in ("1", "2"):
        move = new_move("promote", MODEL, {}, {"champion": number}, "ana", "passed")
        for phase in ("intent", "done"):
            write_phase(made, move, phase)
    return made


def _told(home: Home) -> str | None:
    fault = verify(home)[1]
    return None if fault is None else fault.what


FORGERIES = {
    "a former move put in again": (
        f"INSERT INTO {_TABLE} SELECT * REPLACE (now()::TIMESTAMP AS written_at) {_DONE}",
        "and no act does",
    ),
    "another model": (f"UPDATE {_TABLE} SET model = 'mine.two' WHERE {_FIRST}", "tells it otherwise"),
    "another kind": (f"UPDATE {_TABLE} SET kind = 'retire' WHERE {_FIRST}", "tells it otherwise"),
    "another order": (
        f"UPDATE {_TABLE} SET written_at = now()::TIMESTAMP WHERE phase = 'done' AND {_FIRST}",
        "in another order",
    ),
    "a move that begins": (
        f"INSERT INTO {_TABLE} SELECT * REPLACE ('forged' AS move_id, 'li' AS who) {_INTENT}",
        "ops.alias_audit tells of forged by li, and no act does",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_a_forger_does_to_the_moves_is_found(home: Home, forgery: str) -> None:
    assert (_told(home), standing(home, MODEL).champion) == (None, "2")
    statement, what = FORGERIES[forgery]
    with writer(home, why="a forger") as con:
        con.execute(statement)
    assert what in (_told(home) or "")


def test_a_move_that_no_act_tells_of_is_not_carried_out(home: Home) -> None:
    with writer(home, why="a forger") as con:
        con.execute(FORGERIES["a move that begins"][0])
    assert [each.who for each in open_moves(home)] == ["li"]
    said = recover(home)
    assert said == ["left alone promote of mine.one to version 1: no act tells that it began"]
    assert standing(home, MODEL).champion == "2"
    assert "tells of forged by li" in (_told(home) or ""), "what was put in stays to be found"


def test_a_move_of_a_release_that_chained_its_end_alone_is_whole(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").ensure()
    move = Move("old", "promote", MODEL, {}, {"champion": "1"}, "ana", "passed")
    detail = {"table": "alias_audit", "move_id": "old", "before": "{}", "after": '{"champion": "1"}'}
    write_phase(home, move, "intent")
    write_phase(home, move, "done")
    with writer(home, why="an earlier release") as con:
        con.execute("DELETE FROM lake.ops.act")
        (home.root / "audit_head.json").unlink()
        record(home, con, Entry("promote", "done", MODEL, "ana", "", "", "passed", canonical(detail)))
    assert (_told(home), open_moves(home)) == (None, [])


def test_what_an_admin_of_an_earlier_release_accepted_stays_accepted(home: Home) -> None:
    with writer(home, why="an earlier release") as con:
        con.execute(f"INSERT INTO {_TABLE} SELECT * REPLACE ('old' AS move_id) {_DONE}")
        untold = [["alias_audit", "old", "done", "{}", '{"champion": "1"}', "ana", "passed"]]
        digest = hashlib.sha256(json.dumps(untold, separators=(",", ":")).encode()).hexdigest()
        assert _told(home) == "ops.alias_audit tells of old by ana, and no act does"
        detail = canonical({"note": None, "untold": digest})
        record(home, con, Entry(ACCEPT, "granted", "line", "eve", "admin", "operating_system", "looked into", detail))
    assert _told(home) is None
