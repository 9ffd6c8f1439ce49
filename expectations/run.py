"""Run suites as SQL on the lake: booleans first, details only of what failed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from expectations.checks import OF_TYPE, PROFILE_SEPARATOR, ROWS, TABLE, WHOLE, Check, Facts, Profile, TableSuite, lake
from expectations.generate import suites
from expectations.report import FailedExpectation, Layer, SkippedExpectation, SuiteReport, TableReport
from expectations.series import POINTS
from expectations.settings import load_settings
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site
from pipelines.lake.clock import plant_now
from pipelines.lake.home import Home

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from expectations.engine import Engine

SAMPLE_ROWS = 10


def run_suites(
    home: Home,
    site: Site,
    *,
    layer: Layer,
    domain: str,
    snapshot: int | None = None,
    days: Sequence[date | str] | None = None,
) -> SuiteReport:
    """Run every suite of one layer and domain.

    Args:
        home: the instance.
        site: the site, whose plan the suites follow from.
        layer: `raw`, `staging` or `marts`.
        domain: domain of the tables.
        snapshot: look at the lake as of this snapshot; None for the newest.
        days: look only at rows of these production days (keys, references and freshness still know the whole lake);
            None for all rows.

    Returns:
        What held and what failed, table by table; failures with their count and ten sample rows.

    Raises:
        CellworksError: no lake, no such snapshot, layer or domain, or a wrong file of settings or suites.
    """
    from expectations.engine import LakeColumns, is_warm, warm_engine

    was_warm = is_warm()
    engine = warm_engine()
    started = time.perf_counter()
    with engine.attached(home, snapshot) as con:
        facts = Facts(_now(con), LakeColumns(con, snapshot), window(site, layer, days))
        made = suites(site, layer, domain, facts)
        run = _Run(engine, con, site, layer, facts)
        tables = tuple(run.table(suite) for suite in made)
    return SuiteReport(
        layer=layer,
        domain=domain,
        tables=tables,
        snapshot=snapshot,
        startup_seconds=0.0 if was_warm else engine.startup_seconds,
        seconds=time.perf_counter() - started,
        days=facts.days or (),
    )


def window(site: Site, layer: Layer, days: Sequence[date | str] | None) -> tuple[str, ...] | None:
    """The production days to look at: staging also looks back, for records that waited for another one."""
    if days is None:
        return None
    chosen = {day if isinstance(day, date) else date.fromisoformat(day) for day in days}
    if layer == "staging":
        back = load_settings(site).look_back_days
        chosen |= {day - timedelta(days=each) for day in chosen for each in range(1, back + 1)}
    return tuple(day.isoformat() for day in sorted(chosen))


def _now(con: DuckDBPyConnection) -> Any:
    try:
        return plant_now(con)
    except CellworksError:  # nothing was ingested yet: checks that need the clock have nothing to say
        return None


@dataclass(frozen=True)
class _Run:
    """One run of one layer and domain: what its tables have in common."""

    engine: Engine
    con: DuckDBPyConnection
    site: Site
    layer: Layer
    facts: Facts

    def table(self, suite: TableSuite) -> TableReport:
        """Run the suite of one table."""
        started = time.perf_counter()
        if suite.relation not in self.facts.columns:
            missing = Check("expect_table_to_exist", {"table": suite.relation}, "the table is there")
            return TableReport(suite.table, 1, 0, (self._failure(suite, missing, 0, (), ""),))
        checks, skipped = self._askable(suite)
        failed: list[FailedExpectation] = []
        with ExitStack() as stack:
            batches = self._batches(suite, checks, stack)
            for name, relation in batches:
                failed += self._batch(suite, [check for check in checks if check.on == name], relation)
        seconds = time.perf_counter() - started
        return TableReport(suite.table, len(checks), len(checks) - len(failed), tuple(failed), tuple(skipped), seconds)

    def _askable(self, suite: TableSuite) -> tuple[list[Check], list[SkippedExpectation]]:
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
        present_columns = self.facts.columns[suite.relation]
        if check.type == OF_TYPE:
            return "" if check.column in present_columns else f"{check.column} is missing"
        for column in (*check.uses, *(profile.uses if profile else ())):
            if column not in present_columns:
                return f"{column} is missing"
            if suite.types.get(column, present_columns[column]) != present_columns[column]:
                return f"{column} is {present_columns[column]} instead of {suite.types[column]}"
        lost = [relation for relation in check.needs if relation not in self.facts.columns]
        return f"{lost[0]} is not in the lake" if lost else ""

    def _batches(self, suite: TableSuite, checks: Sequence[Check], stack: ExitStack) -> Iterator[tuple[str, str]]:
        """Name and relation of the table's rows and of each profile that a check reads."""
        from expectations.engine import PROFILES, select_rows

        columns = self.facts.columns[suite.relation]
        days = self.facts.days if self.facts.is_windowed(suite.relation) else None
        sql = select_rows(suite.relation, list(columns), days)
        rows = stack.enter_context(self.engine.batch(suite.layer, suite.table, sql))
        yield TABLE, rows
        wanted = {check.on for check in checks}
        for profile in suite.profiles:
            if profile.name in wanted:
                if POINTS in profile.sql:
                    stack.enter_context(self.engine.lent(POINTS, self.site.plan.control_points()))
                query = profile.sql.replace(ROWS, rows).replace(WHOLE, lake(suite.relation))
                name = f"{suite.table}{PROFILE_SEPARATOR}{profile.name}"
                relation = stack.enter_context(self.engine.batch(PROFILES, name, query, stored=True))
                yield profile.name, relation

    def _batch(self, suite: TableSuite, checks: Sequence[Check], relation: str) -> list[FailedExpectation]:
        if not checks:
            return []
        bound = [_bound(check, relation) for check in checks]
        schema, name = (part.strip('"') for part in relation.split("."))
        results = self.engine.validate(schema, name, bound, "BOOLEAN_ONLY").results
        failures = []
        for result in results:
            if not result.success:
                check = bound[result.expectation_config.meta["check"]]
                failures.append(self._detailed(suite, check, relation, error_of(result)))
        return failures

    def _detailed(self, suite: TableSuite, check: Check, relation: str, error: str) -> FailedExpectation:
        from expectations.engine import sample_rows

        if not check.violation or error:
            return self._failure(suite, check, 0, (), error)
        count, samples = sample_rows(self.con, relation, check.violation, SAMPLE_ROWS)
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


def _bound(check: Check, relation: str) -> Check:
    """The check with the relation in place of `{rows}`."""
    kwargs = dict(check.kwargs)
    if isinstance(kwargs.get("expression"), str):
        kwargs["expression"] = kwargs["expression"].replace(ROWS, relation)
    return replace(check, kwargs=kwargs, violation=check.violation.replace(ROWS, relation))
