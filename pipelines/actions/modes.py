"""Which mode and limits are in force: the site's file takes freedom away, and gives it only once an admin said so."""

from __future__ import annotations

import json
from typing import Any, Final

from duckdb import DuckDBPyConnection

from pipelines.access.ledger import TABLE
from pipelines.actions.limits import policy_of
from pipelines.control_plan.product import ActionPolicy
from pipelines.control_plan.site import Site
from pipelines.lake.tables import has_table

MODES: Final = ("shadow", "advise", "approve", "auto")
"""From the most careful on."""
_UNASKED: Final = "advise"
_SMALLER: Final = ("max_per_day", "max_per_hour", "max_per_target_day", "valid_for_s")
_LARGER: Final = ("cooldown_s", "approvals")


def in_force(con: DuckDBPyConnection, site: Site, kind: str) -> ActionPolicy:
    """The policy of a kind of action as it counts now.

    Args:
        con: a connection to the lake.
        site: what its file says; where it names no roles, the file alone counts.
        kind: kind of action.

    Raises:
        CellworksError: the site has no policy for the kind.
    """
    written = policy_of(site, kind)
    if not site.access.is_guarded:
        return written
    kept = accepted(con).get(kind)
    if kept is None:  # advice moves nothing, so it needs nobody's word
        return written.model_copy(update={"mode": _more_careful(written.mode, _UNASKED)})
    change: dict[str, Any] = {"mode": _more_careful(written.mode, kept.mode)}
    change |= {name: min(getattr(written, name), getattr(kept, name)) for name in _SMALLER}
    change |= {name: max(getattr(written, name), getattr(kept, name)) for name in _LARGER}
    return written.model_copy(update=change)


def accepted(con: DuckDBPyConnection) -> dict[str, ActionPolicy]:
    """The policies that were accepted last, by kind; empty before anybody did."""
    if not has_table(con, "ops", "act"):
        return {}
    newest = con.execute(
        f"SELECT detail FROM {TABLE} WHERE act = 'write_mode' AND phase IN ('granted', 'confirmed') "
        "ORDER BY number DESC LIMIT 1"
    ).fetchone()
    told = json.loads(newest[0])["actions"] if newest else {}
    return {kind: ActionPolicy.model_validate(policy) for kind, policy in told.items()}


def to_accept(site: Site) -> dict[str, Any]:
    """What an admin accepts: all that the site's file says of actions."""
    return {"actions": {kind: policy.model_dump() for kind, policy in site.actions.items()}}


def _more_careful(first: str, second: str) -> str:
    return min(first, second, key=MODES.index)
