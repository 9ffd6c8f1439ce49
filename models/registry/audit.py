"""The audit of alias moves: append-only rows in the lake, an intent before and a done after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from duckdb import DuckDBPyConnection

from pipelines.access import ledger
from pipelines.access.chain import Entry
from pipelines.access.rules import require, rules_of
from pipelines.control_plan.site import Site
from pipelines.lake.clock import next_stamp
from pipelines.lake.connection import create_missing, reader, transaction, writer
from pipelines.lake.home import Home
from pipelines.lake.lock import ACTS
from pipelines.lake.tables import has_table

_TABLE = "lake.ops.alias_audit"
_DDL = f"""CREATE TABLE IF NOT EXISTS {_TABLE} (
    move_id VARCHAR NOT NULL, phase VARCHAR NOT NULL, kind VARCHAR NOT NULL, model VARCHAR NOT NULL,
    from_version VARCHAR, to_version VARCHAR, before VARCHAR NOT NULL, after VARCHAR NOT NULL,
    who VARCHAR NOT NULL, why VARCHAR NOT NULL, written_at TIMESTAMP NOT NULL)"""

_TAKES_AWAY: Final = ("retire", "rollback")


@dataclass(frozen=True)
class Move:
    """One move of aliases.

    Attributes:
        move_id: Its name.
        kind: `promote`, `shadow`, `rollback` or `retire`.
        model: Registered model.
        before: Aliases as they were (alias to version).
        after: Aliases as they shall be; None takes an alias away.
        who: Who moves.
        why: The reason.
    """

    move_id: str
    kind: str
    model: str
    before: dict[str, str]
    after: dict[str, str | None]
    who: str
    why: str


def ensure_table(home: Home, con: DuckDBPyConnection) -> None:
    """Create the audit tables when they are not there."""
    ledger.begin(home, con)
    create_missing(con, _DDL)


def write_phase(home: Home, move: Move, phase: str, site: Site | None = None) -> None:
    """Append a phase, `intent`, `done` or `undone`, which is also an act of the chained audit.

    Args:
        home: the instance.
        move: the move.
        phase: how far it is.
        site: whose rules a move that begins goes by; None where an act of a person has asked for them, or a move goes
            on that had begun.

    Raises:
        CellworksError: the lake knows other rules of who may do what.
    """
    row = [
        move.move_id,
        phase,
        move.kind,
        move.model,
        move.before.get("champion"),
        move.after.get("champion", move.before.get("champion")),
        json.dumps(move.before, sort_keys=True),
        json.dumps(move.after, sort_keys=True),
        move.who,
        move.why,
    ]
    with writer(home, why=f"{move.kind} of {move.model}: {phase}", area=ACTS) as con:
        ensure_table(home, con)
        if site is not None:
            require(con, rules_of(site))
        with transaction(con):
            values = [*row, next_stamp(con, _TABLE, "written_at")]
            con.execute(f"INSERT INTO {_TABLE} VALUES ({', '.join('?' * len(values))})", values)
            ledger.append(con, _entry(move, phase))
        ledger.note_head(home, con)


def _entry(move: Move, phase: str) -> Entry:
    detail = {
        "table": "alias_audit",
        "move_id": move.move_id,
        "before": json.dumps(move.before, sort_keys=True),
        "after": json.dumps(move.after, sort_keys=True),
    }
    return Entry(move.kind, phase, move.model, move.who, "", "", move.why, ledger.canonical(detail))


@dataclass(frozen=True)
class Standing:
    """What the finished moves of a model come to, whatever its aliases say.

    Attributes:
        champion: The version that the newest one made champion; None while that one took it away.
        going_on: The versions that may stand in for it, newest first and it the first; none while there is no champion.
        previous: The former champion that the newest move of that alias left there.
        away: Versions that a person retired or rolled back from, and that no later move made champion.
    """

    champion: str | None
    going_on: tuple[str, ...]
    previous: str | None
    away: frozenset[str]


def standing(home: Home, model: str) -> Standing:
    """Fold the finished moves of a model, oldest first."""
    rows = _told(
        home,
        f"SELECT kind, before, after FROM {_TABLE} WHERE model = ? AND phase = 'done' ORDER BY written_at",
        [model],
    )
    reigning: str | None = None
    previous: str | None = None
    crowned: list[str] = []
    away: set[str] = set()
    for kind, was, shall_be in rows:
        before, after = json.loads(was), json.loads(shall_be)
        if "previous" in after:
            previous = after["previous"] if after["previous"] in crowned else None
        if "champion" not in after:
            continue
        if kind in _TAKES_AWAY:
            # The version that reigned, the one that a hand had put there, and the one that acted: all were meant.
            away |= {each for each in (reigning, before.get("champion"), after.get("previous")) if each is not None}
        reigning = after["champion"]
        if reigning is not None:
            away.discard(reigning)
            crowned = [reigning, *(each for each in crowned if each != reigning)]
    going_on = () if reigning is None else tuple(each for each in crowned if each not in away)
    return Standing(reigning, going_on, previous, frozenset(away))


def open_moves(home: Home) -> list[Move]:
    """Moves with an intent and no end, oldest first."""
    rows = _told(
        home,
        f"SELECT move_id, kind, model, before, after, who, why FROM {_TABLE} WHERE phase = 'intent' "
        f"AND move_id NOT IN (SELECT move_id FROM {_TABLE} WHERE phase <> 'intent') ORDER BY written_at, move_id",
    )
    return [Move(r[0], r[1], r[2], json.loads(r[3]), json.loads(r[4]), r[5], r[6]) for r in rows]


def has_begun(home: Home, move: Move) -> bool:
    """Whether an act tells that this very move began; one that was put into the table has none."""
    with reader(home) as con:
        act = ledger.newest(con, move.kind, ("intent",), move.move_id)
    return act is not None and act.entry == _entry(move, "intent")


def is_revoked(home: Home, model: str, number: str) -> bool:
    """Whether a person took the signature for a version back and nobody has signed since.

    Its tags say nothing of that: whoever noted them before can put them back.
    """
    acts = f"""SELECT act FROM {ledger.TABLE}
        WHERE act IN ('override', 'revocation') AND phase IN ('granted', 'confirmed')
            AND subject = ? AND json_extract_string(detail, '$.version') = ?
        ORDER BY number DESC LIMIT 1"""
    if not home.has_lake:
        return False
    with reader(home) as con:
        row = con.execute(acts, [model, number]).fetchone() if has_table(con, "ops", "act") else None
    return row is not None and row[0] == "revocation"


def _told(home: Home, query: str, asked: Sequence[Any] = ()) -> list[Any]:
    """What the table answers; nothing before the first move."""
    if not home.has_lake:
        return []
    with reader(home) as con:
        return con.execute(query, asked).fetchall() if has_table(con, "ops", "alias_audit") else []
