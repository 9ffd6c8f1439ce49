"""The site's limits on actions: the policy of a kind, the day they count for, and targets whose day is full."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from duckdb import DuckDBPyConnection

from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.product import ActionPolicy
from pipelines.control_plan.site import Site

# By any solution and in any state: what was rejected today is not proposed again today either.
USED_TODAY_SQL = """
    SELECT target_id, count(*) AS used FROM lake.ops.action
    WHERE kind = ? AND production_day = ? GROUP BY target_id
"""


def policy_of(site: Site, kind: str) -> ActionPolicy:
    """The site's policy for actions of a kind.

    Raises:
        CellworksError: the site has none.
    """
    for known, policy in site.actions.items():
        if known == kind:
            return policy
    raise CellworksError(
        f"the site has no policy for actions of kind '{kind}'",
        expected=f"one of {sorted(site.actions)}",
        found=kind,
        mend=f"add `{kind}:` with mode and limits under `actions:` in site.yaml",
        where=str(site.folder / "site.yaml"),
    )


def production_day(site: Site, at: datetime) -> date:
    """The local date of (`at` in UTC - start of the production day)."""
    local = at.replace(tzinfo=UTC).astimezone(site.zone)
    start = timedelta(hours=site.day_starts_at.hour, minutes=site.day_starts_at.minute)
    return (local.replace(tzinfo=None) - start).date()


def full_targets(con: DuckDBPyConnection, site: Site, kind: str, at: datetime) -> list[str]:
    """Targets that no solution may act upon any more on that day, as often as they were acted upon by any.

    Args:
        con: a connection to the lake, whose actions were written at least once.
        site: gives the limit per target and the production day.
        kind: action kind.
        at: the plant's now (UTC).

    Raises:
        CellworksError: the site has no policy for the kind.
    """
    limit = policy_of(site, kind).max_per_target_day
    found = con.execute(
        f"SELECT target_id FROM ({USED_TODAY_SQL}) WHERE used >= ? ORDER BY target_id",
        [kind, production_day(site, at), limit],
    ).fetchall()
    return [str(target) for (target,) in found]
