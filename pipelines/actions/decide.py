"""Reading actions and deciding on them; a decision is one more row of the audit."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Literal

from duckdb import DuckDBPyConnection

from pipelines.access import ledger, rules
from pipelines.access.beside import action_digest
from pipelines.access.chain import Row
from pipelines.access.identity import Person
from pipelines.actions.modes import in_force
from pipelines.actions.tables import STATE_SQL, ensure_tables
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.product import ActionPolicy
from pipelines.control_plan.site import Site
from pipelines.lake.clock import plant_now, wall_now
from pipelines.lake.connection import transaction
from pipelines.lake.tables import has_table

Decision = Literal["approved", "rejected"]
_ENDORSED = "endorsed"
_OPEN = ("advised", "awaiting_approval", _ENDORSED)


def list_actions(
    con: DuckDBPyConnection, *, solution: str | None = None, state: str | None = None, limit: int | None = 100
) -> list[dict[str, Any]]:
    """Actions with their present state, newest first, then by priority.

    Args:
        con: a connection to the lake.
        solution: only this slug.
        state: only this state (shadowed, advised, awaiting_approval, endorsed, released, approved, rejected).
        limit: rows at most; None for all.

    Returns:
        One dict per action: the columns of `ops.action`, then state, decided_by, decided_why and decided_at.
    """
    if not _has_tables(con):
        return []
    result = con.execute(
        f"SELECT * FROM ({STATE_SQL}) WHERE (? IS NULL OR solution = ?) AND (? IS NULL OR state = ?)"
        " ORDER BY proposed_at DESC, priority DESC, action_id LIMIT ?",
        [solution, solution, state, state, limit],
    )
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def versions_waiting(con: DuckDBPyConnection) -> set[tuple[str, str]]:
    """Slug and version of the model behind every action that a person may still decide on; a rule's name as it is."""
    if not _has_tables(con):
        return set()
    rows = con.execute(
        f"SELECT DISTINCT solution, model_version FROM ({STATE_SQL}) "
        "WHERE model_version IS NOT NULL AND list_contains(?::VARCHAR[], state)",
        [list(_OPEN)],
    ).fetchall()
    return {(str(slug), str(version)) for slug, version in rows}


def decide(
    con: DuckDBPyConnection, site: Site, action_id: str, decision: Decision, *, who: Person, why: str, now: datetime
) -> dict[str, Any]:
    """Approve or reject an action that is advised or awaits approval.

    Where the site wants several people to approve a kind, the action stays open (`endorsed`) until they have; one
    person counts once, and only with those whom the same source of identities named. A single rejection is enough.

    Args:
        con: a writing connection to the lake, outside a transaction.
        site: tells how long an action may wait and how many must approve.
        action_id: id, or the beginning of one that is unique.
        decision: approved or rejected.
        who: the person, as `pipelines.access.identity.authorise` found.
        why: the reason, kept in the audit.
        now: the plant's now (UTC); an action that waited too long until then has lapsed.

    Returns:
        action_id, state (approved, rejected, or endorsed while more people are needed), approvals,
        approvals_needed, and until when those must have approved it by the plant's clock (UTC, naive; else None).

    Raises:
        CellworksError: no such action, it is decided already, it has lapsed, this person has approved it before, no
            reason was given, a kind that the site has dropped shall be approved, or the lake knows other rules of who
            may do what.
    """
    if not why.strip():
        raise CellworksError("a decision needs a reason", expected="--why", found="an empty text")
    ensure_tables(con)
    ledger.ensure_table(con)
    rules.require(con, rules.rules_of(site))
    with transaction(con):
        action = _one(con, action_id)
        if action["state"] not in _OPEN:
            raise CellworksError(
                f"action {action['action_id'][:8]} can't be {decision}",
                expected=f"an action that is {' or '.join(_OPEN)}",
                found=f"it is {action['state']} ({action['decided_by']}: {action['decided_why']})",
                mend="`cellworks actions list` tells those that are open",
            )
        policy = _policy(con, site, action["kind"])
        if policy is None and decision == "approved":
            raise _dropped(site, action)
        _refuse_lapsed(policy, action, now)
        needed = max(policy.approvals, 1) if policy else 1
        given = _endorsed_by(con, action["action_id"], who.source)
        state = _state(decision, given, who.name, needed)
        _write(con, action, state, who, why)
    approvals = 0 if decision == "rejected" else len(given) + 1
    return {
        "action_id": action["action_id"],
        "state": state,
        "approvals": approvals,
        "approvals_needed": needed,
        "until": _lapses_at(policy, action) if policy and state == _ENDORSED else None,
    }


def endorsed(con: DuckDBPyConnection, site: Site) -> list[tuple[Row, datetime]]:
    """Actions that some have approved, by the rules in force, and others must as well, the oldest first.

    Args:
        con: a connection to the lake.
        site: tells how long an action may wait.

    Returns:
        Of each the act of who approved it last, and when it lapses by the plant's clock (UTC, naive).
    """
    found, since = [], _rules_since(con)
    for action in list_actions(con, state=_ENDORSED, limit=None):
        policy = _policy(con, site, action["kind"])
        told = ledger.newest(con, "approve_action", ("done",), action["action_id"])
        if policy is None or told is None or told.number <= since:
            continue
        if plant_now(con) <= _lapses_at(policy, action):
            found.append((told, _lapses_at(policy, action)))
    return sorted(found, key=lambda each: each[0].number)


def _write(con: DuckDBPyConnection, action: dict[str, Any], state: str, who: Person, why: str) -> None:
    """The decision, and the act in the chained audit; the transaction is open."""
    action_id, seq = action["action_id"], action["seq"] + 1
    con.execute(
        "INSERT INTO lake.ops.action_audit VALUES (?, ?, ?, ?, ?, ?)",
        [action_id, seq, state, who.name, why, wall_now()],
    )
    detail = {"table": "action_audit", "action_id": action_id, "seq": seq, "event": state, "kind": action["kind"]}
    detail |= {"action_sha256": action_digest(action)}
    act = "reject_action" if state == "rejected" else "approve_action"
    ledger.append(con, ledger.entry_of(act, "done", str(action["target_id"]), who, why, detail))


def _state(decision: Decision, given: set[str], who: str, needed: int) -> str:
    if decision == "rejected":
        return decision
    if who in given:
        raise CellworksError(
            f"{who} has approved this action before",
            expected=f"{needed} different people",
            found=", ".join(sorted(given)),
            mend="let another person approve it, with --who",
        )
    return decision if len(given) + 1 >= needed else _ENDORSED


def _endorsed_by(con: DuckDBPyConnection, action_id: str, source: str) -> set[str]:
    """Who has approved it under the rules in force, by the acts: they also tell who vouched for a name."""
    rows = con.execute(
        f"SELECT who, detail FROM {ledger.TABLE} "
        "WHERE act = 'approve_action' AND source = ? AND contains(detail, ?) AND number > ?",
        [source, action_id, _rules_since(con)],
    ).fetchall()
    told = [(str(who), json.loads(detail)) for who, detail in rows]
    return {who for who, each in told if (each["action_id"], each["event"]) == (action_id, _ENDORSED)}


def _rules_since(con: DuckDBPyConnection) -> int:
    """The act that brought the rules in force, 0 where there are none: who approved before may have no role now."""
    known = rules.in_force(con)
    return known.number if known is not None else 0


def _dropped(site: Site, action: dict[str, Any]) -> CellworksError:
    return CellworksError(
        f"action {action['action_id'][:8]} can't be approved: nothing says any more how many must",
        expected=f"`actions.{action['kind']}` in site.yaml, which tells how many and until when",
        found="no such kind",
        mend="put the kind back, or reject the action",
        where=str(site.folder / "site.yaml"),
    )


def _has_tables(con: DuckDBPyConnection) -> bool:
    return all(has_table(con, "ops", name) for name in ("action", "action_audit"))


def _one(con: DuckDBPyConnection, action_id: str) -> dict[str, Any]:
    result = con.execute(f"SELECT * FROM ({STATE_SQL}) WHERE starts_with(action_id, ?)", [action_id])
    names = [column[0] for column in result.description or []]
    rows = result.fetchmany(2)
    if len(rows) != 1 or not action_id:
        raise CellworksError(
            "no single action has that id",
            expected="the id of one action, or enough of its beginning",
            found=f"{'several begin' if rows else 'none begins'} with {action_id!r}",
            mend="`cellworks actions list` tells them",
        )
    return dict(zip(names, rows[0], strict=True))


def _policy(con: DuckDBPyConnection, site: Site, kind: str) -> ActionPolicy | None:
    """The policy in force; None for a kind that the site has since dropped."""
    return in_force(con, site, kind) if kind in site.actions else None


def _refuse_lapsed(policy: ActionPolicy | None, action: dict[str, Any], now: datetime) -> None:
    if policy is not None and now > (lapses_at := _lapses_at(policy, action)):
        raise CellworksError(
            f"action {action['action_id'][:8]} has lapsed",
            expected=f"a decision before {lapses_at:%Y-%m-%d %H:%M} UTC",
            found=f"the plant is at {now:%Y-%m-%d %H:%M} UTC",
            mend="act on the newest proposal instead",
        )


def _lapses_at(policy: ActionPolicy, action: dict[str, Any]) -> datetime:
    proposed_at: datetime = action["proposed_at"]
    return proposed_at + timedelta(seconds=policy.valid_for_s)
