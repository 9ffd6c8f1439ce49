"""What one table must be asked since it last held, and of which rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from duckdb import DuckDBPyConnection

from expectations.ask import holds_by_columns, unheld
from expectations.checks import ROWS, TABLE, Check, Scope, TableSuite, lake
from expectations.held import History
from pipelines.lake.sql import quote_literal

_SMALL = 1_000_000  # values, by rows and checks; a query costs 20 ms before it reads any


@dataclass(frozen=True)
class Question:
    """One table whose suite held on an older snapshot.

    Attributes:
        con: connection to the lake, within a transaction.
        columns: `schema.table` -> column -> DuckDB type.
        history: what changed since when.
        since: snapshot on which the suite held.
        clock: the plant's clock as SQL.
    """

    con: DuckDBPyConnection
    suite: TableSuite
    columns: Mapping[str, Mapping[str, str]]
    history: History
    since: int
    clock: str

    def ask(self, checks: Sequence[Check]) -> tuple[list[Check], list[Check]]:
        """Checks whose verdict may have changed, and those of them that may not hold now."""
        asked = [check for check in checks if self._may_have_changed(check)]
        suspects: list[Check] = []
        by_rows: dict[str, list[Check]] = {}
        for check in asked:
            verdict = holds_by_columns(check, self.columns[self.suite.relation])
            if verdict is None:
                by_rows.setdefault(self._rows(check), []).append(check)
            elif not verdict:
                suspects.append(check)
        for rows, group in by_rows.items():
            suspects += unheld(self.con, rows, group, self.clock)
        return asked, suspects

    def _may_have_changed(self, check: Check) -> bool:
        if self.history.is_written(self.suite.relation, self.since):
            return True
        if self._scope(check) is not Scope.TABLE:
            return False
        return check.is_clocked or any(self.history.is_written(each, self.since) for each in check.needs)

    def _scope(self, check: Check) -> Scope:
        is_view = self.history.relations[self.suite.relation].is_view  # its rows know no snapshot
        return Scope.TABLE if is_view else self.suite.scope(check)

    def _rows(self, check: Check) -> str:
        """The rows that a check must be asked of: a relation, or a query between brackets."""
        whole, scope = lake(self.suite.relation), self._scope(check)
        if check.on == TABLE:
            return self._new_rows if scope is Scope.ROWS and not self._is_small else whole
        rows = whole
        if scope is Scope.DAYS:
            listed = ", ".join(f"DATE {quote_literal(day)}" for day in self._new_days) or "NULL"
            rows = f"(SELECT * FROM {whole} WHERE production_day IN ({listed}))"
        sql = next(each.sql for each in self.suite.profiles if each.name == check.on)
        return f"({sql.replace(ROWS, rows)})"

    @property
    def _is_small(self) -> bool:
        """Whether reading it whole costs less than a query more."""
        return self.history.relations[self.suite.relation].rows * len(self.suite.checks) <= _SMALL

    @property
    def _new_rows(self) -> str:
        return f"(SELECT * FROM {lake(self.suite.relation)} WHERE snapshot_id > {self.since})"

    @cached_property
    def _new_days(self) -> list[date]:
        found = self.con.execute(f"SELECT DISTINCT production_day FROM {self._new_rows} ORDER BY 1").fetchall()
        return [day for (day,) in found if day is not None]
