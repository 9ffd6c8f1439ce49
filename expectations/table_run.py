"""One run of one layer and domain: what its tables are asked, and what the library decides."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from expectations.checks import (
    NOW,
    OF_TYPE,
    PROFILE_SEPARATOR,
    ROWS,
    TABLE,
    Check,
    Profile,
    TableSuite,
    lake,
)
from expectations.database import PROFILES, Database, LakeColumns, sample_rows
from expectations.held import History
from expectations.report import FailedExpectation, Layer, SkippedExpectation, TableReport
from expectations.since import Question
from pipelines.control_plan.site import Site
from pipelines.lake.sql import quote_literal

SAMPLE_ROWS = 10


@dataclass(frozen=True)
class Asked:
    """What one table was asked.

    Attributes:
        checks: checks that can be computed; skipped: those that can't.
        suspects: checks for the library to decide.
        since: snapshot up to which the suite held; None when the whole table goes to the library.
        count: checks that this run had to ask.
        is_news: whether the table changed since it last held, or was never seen to hold.
    """

    suite: TableSuite
    checks: tuple[Check, ...] = ()
    skipped: tuple[SkippedExpectation, ...] = ()
    suspects: tuple[Check, ...] = ()
    since: int | None = None
    count: int = 0
    is_news: bool = False
    is_missing: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class Run:
    """One run of one layer and domain: what its tables have in common."""

    database: Database
    site: Site
    layer: Layer
    columns: LakeColumns
    now: datetime | None
    snapshot: int
    history: History
    suites: Sequence[TableSuite]
    digests: dict[str, str]

    @property
    def clock(self) -> str:
        """The plant's clock as SQL."""
        return f"TIMESTAMP {quote_literal(self.now.isoformat(sep=' '))}" if self.now else "NULL::TIMESTAMP"

    def ask(self, suite: TableSuite) -> Asked:
        """Find what may not hold; nothing is written."""
        started = time.perf_counter()
        if suite.relation not in self.columns:
            return Asked(suite, is_news=True, is_missing=True)
        checks, skipped = self.askable(suite)
        since = self.history.held_since(suite.relation, self.digests[suite.relation])
        if since is None:
            asked, suspects = checks, checks
        else:
            question = Question(self.database.con, suite, self.columns, self.history, since, self.clock)
            asked, suspects = question.ask(checks)
        return Asked(
            suite,
            tuple(checks),
            tuple(skipped),
            tuple(suspects),
            since,
            len(asked),
            since is None or self.history.is_news(suite.relation, since),
            seconds=time.perf_counter() - started,
        )

    def conclude(self, asked: Asked) -> TableReport:
        """Let the library decide what may not hold."""
        suite, started = asked.suite, time.perf_counter()
        if asked.is_missing:
            missing = Check("expect_table_to_exist", {"table": suite.relation}, "the table is there")
            return TableReport(suite.table, 1, 0, (self._failure(suite, missing, 0, (), ""),), asked=1)
        failed: list[FailedExpectation] = []
        if asked.suspects:
            with ExitStack() as stack:
                for name, relation in self.batches(suite, asked.suspects, stack):
                    failed += self._batch(suite, [each for each in asked.suspects if each.on == name], relation)
        return TableReport(
            suite.table,
            len(asked.checks),
            len(asked.checks) - len(failed),
            tuple(failed),
            asked.skipped,
            asked.seconds + time.perf_counter() - started,
            asked.count,
            asked.since,
        )

    def askable(self, suite: TableSuite) -> tuple[list[Check], list[SkippedExpectation]]:
        """Checks whose columns and tables are there; the others fail elsewhere, once."""
        askable: list[Check] = []
        skipped: list[SkippedExpectation] = []
        profiles = {profile.name: profile for profile in suite.profiles}
        for check in suite.checks:
            reason = self._obstacle(suite, check, profiles.get(check.on))
            if reason:
                skipped.append(SkippedExpectation(check.type, check.title, suite.table, check.column, reason))
            else:
                askable.append(check)
        return askable, skipped

    def _obstacle(self, suite: TableSuite, check: Check, profile: Profile | None) -> str:
        present_columns = self.columns[suite.relation]
        if check.type == OF_TYPE:
            return "" if check.column in present_columns else f"{check.column} is missing"
        for column in (*check.uses, *(profile.uses if profile else ())):
            if column not in present_columns:
                return f"{column} is missing"
            if suite.types.get(column, present_columns[column]) != present_columns[column]:
                return f"{column} is {present_columns[column]} instead of {suite.types[column]}"
        if check.is_clocked and self.now is None:
            return "the plant has no clock yet"
        lost = [relation for relation in check.needs if relation not in self.columns]
        return f"{lost[0]} is not in the lake" if lost else ""

    def batches(self, suite: TableSuite, checks: Sequence[Check], stack: ExitStack) -> Iterator[tuple[str, str]]:
        """Name and relation of the table's rows and of each profile that a check reads."""
        rows = stack.enter_context(
            self.database.batch(suite.layer, suite.table, f"SELECT * FROM {lake(suite.relation)}")
        )
        yield TABLE, rows
        wanted = {check.on for check in checks}
        for profile in suite.profiles:
            if profile.name in wanted:
                query = profile.sql.replace(ROWS, rows)
                name = f"{suite.table}{PROFILE_SEPARATOR}{profile.name}"
                yield profile.name, stack.enter_context(self.database.batch(PROFILES, name, query, stored=True))

    def _batch(self, suite: TableSuite, checks: Sequence[Check], relation: str) -> list[FailedExpectation]:
        if not checks:
            return []
        from expectations.engine import warm_engine

        bound = [self.bound(check, relation) for check in checks]
        schema, name = (part.strip('"') for part in relation.split("."))
        failures = []
        for result in warm_engine().validate(schema, name, bound, "BOOLEAN_ONLY").results:
            if not result.success:
                check = bound[result.expectation_config.meta["check"]]
                failures.append(self._detailed(suite, check, relation, error_of(result)))
        return failures

    def bound(self, check: Check, relation: str) -> Check:
        """The check with relation and clock in place of `{rows}` and `{now}`."""

        def bind(sql: str) -> str:
            return sql.replace(ROWS, relation).replace(NOW, self.clock)

        kwargs = dict(check.kwargs)
        if check.expression:
            kwargs["expression"] = bind(check.expression)
        return replace(check, kwargs=kwargs, violation=bind(check.violation))

    def _detailed(self, suite: TableSuite, check: Check, relation: str, error: str) -> FailedExpectation:
        if not check.violation or error:
            return self._failure(suite, check, 0, (), error)
        count, samples = sample_rows(self.database.con, relation, check.violation, SAMPLE_ROWS)
        return self._failure(suite, check, count, samples, error)

    def _failure(
        self, suite: TableSuite, check: Check, count: int, samples: tuple[Any, ...], error: str
    ) -> FailedExpectation:
        return FailedExpectation(
            expectation=check.type,
            title=check.title,
            domain=suite.domain,
            layer=self.layer,
            table=suite.table,
            column=check.column,
            kwargs=check.kwargs,
            count=count,
            samples=samples,
            error=error,
        )


def error_of(result: Any) -> str:
    """What kept an expectation from being computed, in one line; empty when it was computed."""
    raised = result.exception_info or {}
    infos = [raised] if "raised_exception" in raised else list(raised.values())
    messages = [str(info.get("exception_message", "")) for info in infos if info.get("raised_exception")]
    return messages[0].splitlines()[0][:500] if messages and messages[0] else ""
