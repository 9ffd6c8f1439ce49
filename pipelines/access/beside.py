"""The audit beside the tables that work with it: what acts tell of decisions and moves, and what those tables hold.

Belongs here: comparing both ways. Not here: the chain itself, and what an admin has accepted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from duckdb import DuckDBPyConnection

from pipelines.access.chain import Fault, Row
from pipelines.lake.tables import has_table

INITIAL_STATE: Final = {
    "shadow": "shadowed",
    "advise": "advised",
    "approve": "awaiting_approval",
    "auto": "released",
}
"""The state in which an action starts, by the mode of its kind: the only event that the platform writes, and no act."""
PROPOSER: Final = "cellworks"
"""Who that event names."""
_COLUMNS: Final = (
    "action_id", "solution", "kind", "target_id", "characteristic_code", "current_value", "proposed_value", "priority",
    "reason", "grouped_count", "mode", "model_version", "lake_snapshot", "proposed_at", "production_day",
)  # fmt: skip
"""What was decided on: named, so that a column of a later release changes no digest of an earlier one."""
_STARTS: Final = ", ".join(f"('{mode}', '{state}')" for mode, state in INITIAL_STATE.items())
_KEPT: Final = {
    "action_audit": f"""
        SELECT action_id, seq, event, who, why, event_at FROM lake.ops.action_audit AS e
        WHERE NOT (seq = 0 AND who = '{PROPOSER}' AND EXISTS (
            SELECT 1 FROM lake.ops.action AS a WHERE a.action_id = e.action_id AND (a.mode, e.event) IN ({_STARTS})))
        ORDER BY event_at""",
    "alias_audit": """
        SELECT move_id, phase, kind, model, before, after, who, why, written_at FROM lake.ops.alias_audit
        ORDER BY written_at""",
    # An action that stands there more than once says several things; no act tells of the others.
    "action": """
        SELECT action_id, count(*), min(solution), '', max(proposed_at) FROM lake.ops.action
        GROUP BY action_id HAVING count(*) > 1""",
}
"""Rows of each table that an act tells of, the key first, then who and why before the moment last."""
_NEEDED: Final = {"action_audit": ("action", "action_audit"), "alias_audit": ("alias_audit",), "action": ("action",)}

Told = tuple[Any, ...]
"""What an act tells of a row: the table's name, then its fields but the moment."""


def action_digest(action: Mapping[str, Any]) -> str:
    """SHA-256 of a row of `ops.action` in its canonical form."""
    told = {name: _plain(action[name]) for name in _COLUMNS}
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value


def compare(con: DuckDBPyConnection, rows: Sequence[Row]) -> tuple[Fault | None, list[Told]]:
    """Compare an audit whose chain is whole with the tables, both ways.

    Args:
        con: a connection to the lake.
        rows: the whole audit by number.

    Returns:
        The first act that its table tells otherwise, and the rows that no act tells of, in a fixed order.
    """
    kept, actions = _kept(con), _actions(con)
    newest: datetime | None = None
    for row in rows:
        if (told := _told_by(row)) is None:
            continue
        if not kept.get(told):
            return Fault(row.number, f"ops.{told[0]} tells it otherwise, or no more"), []
        at = kept[told].pop(0)
        if told[0] == "alias_audit":
            # What reigns follows from the order of the moves, so a row that was dated anew is another one.
            if newest is not None and at <= newest:
                return Fault(row.number, "ops.alias_audit has it in another order"), []
            newest = at
        digest = json.loads(row.entry.detail).get("action_sha256")
        if digest is not None and actions.get(told[1]) != [digest]:
            return Fault(row.number, "ops.action has another content than was decided on"), []
    return None, _without_act(kept)


def former(untold: Sequence[Told]) -> list[Told]:
    """Rows without an act as the releases told them whose acts of acceptance left kind and model of a move out."""
    return sorted(((*each[:3], *each[5:]) if each[0] == "alias_audit" else each for each in untold), key=repr)


def _kept(con: DuckDBPyConnection) -> dict[Told, list[datetime]]:
    """The moments of each row, the oldest first; by what an act tells of it, so that a row put in again is one more."""
    found: dict[Told, list[datetime]] = {}
    for table, query in _KEPT.items():
        if all(has_table(con, "ops", name) for name in _NEEDED[table]):
            for *told, at in con.execute(query).fetchall():
                found.setdefault((table, *told), []).append(at)
    return found


def _actions(con: DuckDBPyConnection) -> dict[str, list[str]]:
    """Digests of the actions that somebody has decided on."""
    if not all(has_table(con, "ops", name) for name in _NEEDED["action_audit"]):
        return {}
    result = con.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM lake.ops.action "
        "WHERE action_id IN (SELECT action_id FROM lake.ops.action_audit WHERE seq > 0)"
    )
    found: dict[str, list[str]] = {}
    for values in result.fetchall():
        found.setdefault(values[0], []).append(action_digest(dict(zip(_COLUMNS, values, strict=True))))
    return found


def _told_by(row: Row) -> Told | None:
    """What the table must have that an act tells of; None for an act without one."""
    entry, detail = row.entry, json.loads(row.entry.detail)
    table = detail.get("table")
    if table == "action_audit":
        return (table, detail["action_id"], detail["seq"], detail["event"], entry.who, entry.why)
    if table == "alias_audit":
        move = (detail["move_id"], entry.phase, entry.act, entry.subject, detail["before"], detail["after"])
        return (table, *move, entry.who, entry.why)
    return None


def _without_act(kept: Mapping[Told, Sequence[datetime]]) -> list[Told]:
    """What is left once each act has taken its row.

    The start of a move that has ended moves nothing any more, and in earlier releases it was no act.
    """
    ended = {told[1] for told in kept if told[0] == "alias_audit" and told[2] != "intent"}
    left = [told for told, moments in kept.items() for _ in moments]
    return sorted((told for told in left if not (told[2] == "intent" and told[1] in ended)), key=repr)
