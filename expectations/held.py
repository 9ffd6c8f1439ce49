"""What is known to hold: `ops.checked` says of each table up to which snapshot its suite held, and under which plan.

Nothing is asked twice of what can't have changed: the lake's own list of changes says which tables were written since,
whoever wrote them, and each row knows the snapshot that brought it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from duckdb import DuckDBPyConnection

from expectations.checks import TableSuite, all_of
from expectations.database import METADATA, LakeColumns, Relation
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site
from pipelines.lake.clock import wall_now

CHECKED = "ops.checked"
_CHANGE = re.compile(r"([a-z_]+):(\d+)")
# Kinds of change that leave every older row as it was; after any other (an altered table, compacted files) the whole
# table is validated anew.
_WRITTEN = frozenset({"inserted_into_table", "inlined_insert", "deleted_from_table", "inlined_delete"})


def suite_hash(site: Site, suite: TableSuite) -> str:
    """Hash of all that a suite's verdict depends on beside data and clock."""
    told = (site.plan.hash, suite.checks, suite.profiles, sorted(suite.types.items()))
    return hashlib.sha256(repr(told).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class History:
    """What `ops.checked` and the lake's list of changes say.

    Attributes:
        relations: tables and views of the lake.
        held: `schema.table` -> hash of the suite that held, and the snapshot that it held on.
        written: number of a table -> newest snapshot that wrote rows of it.
        reshaped: number of a table -> newest snapshot that changed it in another way.
        complete_since: changes are known after this snapshot.
    """

    relations: Mapping[str, Relation]
    held: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    written: Mapping[int, int] = field(default_factory=dict)
    reshaped: Mapping[int, int] = field(default_factory=dict)
    complete_since: int = 0

    def held_since(self, relation: str, digest: str) -> int | None:
        """Snapshot on which the same suite of a table held, None when the whole table must be validated."""
        known, snapshot = self.held.get(relation, ("", 0))
        if known != digest or snapshot < self.complete_since:
            return None
        table = self.relations[relation]
        is_same = table.begin <= snapshot and self.reshaped.get(table.number, 0) <= snapshot
        return snapshot if is_same else None

    def is_written(self, relation: str, snapshot: int) -> bool:
        """Whether rows of a table may have changed after a snapshot; those of a view always may."""
        return self.relations[relation].is_view or self.is_news(relation, snapshot)

    def is_news(self, relation: str, snapshot: int) -> bool:
        """Whether the lake tells of a change of a table or view after a snapshot."""
        table = self.relations[relation]
        return max(self.written.get(table.number, 0), self.reshaped.get(table.number, 0), table.begin) > snapshot


def read_history(con: DuckDBPyConnection, relations: Mapping[str, Relation], tables: Sequence[str]) -> History:
    """The history of some tables (`schema.table`), as the transaction of `con` sees it."""
    if CHECKED not in relations:
        return History(relations)
    rows = con.execute(
        f"SELECT relation, suite_hash, snapshot_id FROM lake.{CHECKED} WHERE relation IN ({all_of(tables)})"
    ).fetchall()
    held = {str(relation): (str(digest), int(snapshot)) for relation, digest, snapshot in rows}
    since = min((snapshot for _, snapshot in held.values()), default=0)
    changes = con.execute(
        f"SELECT s.snapshot_id, coalesce(c.changes_made, '') FROM {METADATA}.ducklake_snapshot AS s "
        f"LEFT JOIN {METADATA}.ducklake_snapshot_changes AS c USING (snapshot_id) "
        f"WHERE s.snapshot_id >= {since} ORDER BY 1"
    ).fetchall()
    written: dict[int, int] = {}
    reshaped: dict[int, int] = {}
    for snapshot, made in changes:
        for kind, number in _CHANGE.findall(made):
            (written if kind in _WRITTEN else reshaped)[int(number)] = int(snapshot)
    return History(relations, held, written, reshaped, _complete_since([int(row[0]) for row in changes]))


def _complete_since(snapshots: Sequence[int]) -> int:
    """The oldest snapshot after which none is missing; expired ones take their list of changes with them."""
    gaps = [after for before, after in pairwise(snapshots) if after - before > 1]
    return gaps[-1] if gaps else min(snapshots, default=0)


def refuse_changed(con: DuckDBPyConnection, tables: Sequence[str]) -> None:
    """Refuse tables (`schema.table`) that were written after the snapshot on which their checks held.

    Raises:
        CellworksError: some were, as by a run beside this one; names them.
    """
    relations = LakeColumns(con).relations
    history = read_history(con, relations, tables)
    held = {table: snapshot for table, (_, snapshot) in history.held.items() if table in relations}
    changed = [table for table, snapshot in held.items() if history.is_news(table, snapshot)]
    if changed:
        raise CellworksError(
            "tables changed after their checks",
            expected="what was checked and nothing newer",
            found=", ".join(sorted(changed)),
            mend="run the night again: it checks what changed",
        )


def record(con: DuckDBPyConnection, suites: Iterable[tuple[str, str]], snapshot: int) -> None:
    """Write down that suites held.

    Args:
        con: within a writing transaction.
        suites: `schema.table` and hash of each suite.
        snapshot: what they held on.
    """
    now = wall_now()
    rows = [(relation, digest, snapshot, now) for relation, digest in suites]
    con.execute(f"DELETE FROM lake.{CHECKED} WHERE relation IN ({all_of(row[0] for row in rows)})")
    marks = ", ".join("(?, ?, ?, ?)" for _ in rows)
    con.execute(f"INSERT INTO lake.{CHECKED} VALUES {marks}", [value for row in rows for value in row])
