"""Each kind of generated check holds on clean rows and fails on dirty ones, by plain SQL and by Great Expectations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from expectations import checks
from expectations.ask import holds_by_columns, unheld
from expectations.checks import NOW, ROWS, Check, TableSuite
from expectations.database import PROFILES, warm_database
from expectations.engine import warm_engine
from expectations.marts import contracts, mart_suite
from expectations.raw import raw_suite
from expectations.series import POINTS
from expectations.settings import load_settings
from expectations.staging import staging_suite
from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.site import Site
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_identifier

pytestmark = pytest.mark.slow

CLOCK = "TIMESTAMP '2026-09-10 00:00:00'"
HOURS = "TIMESTAMP '2026-09-09 00:00:00' + INTERVAL (i) MINUTE"


class Case(NamedTuple):
    """A check, and rows as SQL on which it holds and fails; `generated` picks it out of a real suite by its title."""

    name: str
    clean: str
    dirty: str
    check: Check | None = None
    generated: tuple[str, str, str] | None = None


def drawn(table: str, clean: str, dirty: str, title: str, layer: str = "staging") -> Case:
    return Case(f"{table}: {title}", clean, dirty, generated=(layer, table, title))


def values(*rows: str, names: str) -> str:
    return f"SELECT * FROM (VALUES {', '.join(f'({row})' for row in rows)}) AS t({names})"


def lots(*rows: str) -> str:
    """Material lots from code, mass and the hour in which they were known."""
    given = values(*rows, names="code, mass, hour")
    return (
        "SELECT code AS material_lot_id, mass::DOUBLE AS quantity_kg, DATE '2026-09-09' AS production_day, "
        f"TIMESTAMP '2026-09-09 00:00:00' + to_hours(hour) AS known_at FROM ({given})"
    )


def long_values(code: str, value: str) -> str:
    """Twelve laboratory results of a characteristic."""
    return f"SELECT '{code}' AS characteristic_code, {value} AS value, {HOURS} AS event_at FROM range(12) AS r(i)"


def cells(column: str, value: str) -> str:
    """Forty cells of one machine within an hour."""
    return (
        f"SELECT 'C' || i AS cell_id, 'FIL-01' AS filler_id, 'OVN-01' AS oven_id, {value} AS {column}, {HOURS} AS "
        "event_at, DATE '2026-09-09' AS production_day FROM range(40) AS r(i)"
    )


def series(value: str, *, point: int = 29352020) -> str:
    """Two hours of a control point: the pressure of a dry room, 18 Pa as the plan has it."""
    return (
        f"SELECT {point}::INTEGER AS control_point_no, ({value})::FLOAT AS value, {HOURS} AS event_at, {HOURS} AS "
        "known_at, DATE '2026-09-09' AS production_day FROM range(120) AS r(i)"
    )


STRETCH = "daughter_roll_id, mother_roll_id, lane_no, from_m, to_m"
STEADY = "18.0 + i / 100"
CASES = [
    Case("columns", "SELECT 1 AS a, 2 AS b", "SELECT 1 AS a", checks.columns_exist(["a", "b"])),
    Case("type", "SELECT 1::DOUBLE AS a", "SELECT '1' AS a", checks.of_type("a", "DOUBLE")),
    Case("missing", "SELECT 1 AS a", "SELECT NULL::INTEGER AS a", checks.not_null("a")),
    Case("too low", "SELECT 1.0 AS a", "SELECT -0.1::DOUBLE AS a", checks.between("a", 0, 2)),
    Case("too high", "SELECT NULL::DOUBLE AS a", "SELECT 2.1::DOUBLE AS a", checks.between("a", None, 2)),
    Case("NaN", "SELECT 1.0::DOUBLE AS a", "SELECT 'nan'::DOUBLE AS a", checks.between("a", 0, 2)),
    Case("infinity", "SELECT 1.0::DOUBLE AS a", "SELECT '-inf'::DOUBLE AS a", checks.between("a", 0, None)),
    Case("code", "SELECT 'A' AS a UNION ALL SELECT NULL", "SELECT 'Z' AS a", checks.in_set("a", ["A", "B"])),
    Case("rule", "SELECT 1 AS a, NULL::INTEGER AS b", "SELECT 2 AS a, 1 AS b", checks.rows_satisfy("a < b", title="")),
    Case(
        "rule with a tolerated share",
        "SELECT i AS a FROM range(10) AS r(i)",
        "SELECT i AS a FROM range(5) AS r(i)",
        checks.rows_satisfy("a > 0", title="", max_share=0.1),
    ),
    Case("aggregate", "SELECT 3 AS a", "SELECT NULL::INTEGER AS a", checks.aggregate("max(a)", 1, None, title="")),
    Case("key", values("1, 1", "1, 2", names="a, b"), values("1, 1", "1, 1", names="a, b"), checks.unique(["a", "b"])),
    Case("one-column key", values("1", "2", names="a"), values("1", "1", names="a"), checks.unique(["a"])),
    Case(
        "reference that may wait",
        f"SELECT 'test' AS a, {CLOCK} AS known_at FROM range(20)",
        f"SELECT 'lost' AS a, {CLOCK} AS known_at UNION ALL SELECT 'x', {CLOCK} FROM range(5)",
        checks.references(
            "a", "ops.published", "domain", title="", settled=f"known_at < {NOW} - INTERVAL 1 DAY", waiting_share=0.2
        ),
    ),
    Case(
        "reference that is overdue",
        f"SELECT 'test' AS a, {CLOCK} AS known_at",
        f"SELECT 'lost' AS a, {CLOCK} - INTERVAL 2 DAY AS known_at UNION ALL SELECT 'test', {CLOCK} FROM range(99)",
        checks.references(
            "a", "ops.published", "domain", title="", settled=f"known_at < {NOW} - INTERVAL 1 DAY", waiting_share=0.2
        ),
    ),
    drawn(
        "ems__weather",
        f"SELECT {CLOCK} AS event_at",
        f"SELECT {CLOCK} AS event_at WHERE false",
        "ems__weather has rows",
        "raw",
    ),
    drawn(
        "ems__weather",
        "SELECT DATE '2026-09-01' + (i // 24)::INTEGER AS production_day FROM range(100) AS r(i)",
        "SELECT DATE '2026-09-01' + (i // 24)::INTEGER AS production_day FROM range(100) AS r(i) "
        "WHERE i // 24 <> 2 OR i % 24 < 11",
        "every day has at least 50% of the rows of a usual day",
        "raw",
    ),
    Case(
        "most days are lost",
        "SELECT DATE '2026-09-01' + (i // 24)::INTEGER AS production_day FROM range(48) AS r(i)",
        "SELECT DATE '2026-09-01' + (i // 24)::INTEGER AS production_day FROM range(240) AS r(i) "
        "WHERE i // 24 IN (0, 4, 9)",
        generated=("raw", "ems__meter_interval", "every day has at least 50% of the rows of a usual day"),
    ),
    drawn(
        "ems__weather",
        f"SELECT {CLOCK} - INTERVAL 5 HOUR AS known_at",
        f"SELECT {CLOCK} - INTERVAL 60 HOUR AS known_at",
        "the newest record is at most 48 h old",
        "raw",
    ),
    drawn(
        "ems__weather",
        f"SELECT {CLOCK} AS event_at, {CLOCK} AS known_at",
        f"SELECT {CLOCK} + INTERVAL 1 DAY AS event_at, {CLOCK} AS known_at",
        "nothing is known before it happened",
        "raw",
    ),
    drawn(
        "erp__material_lot",
        lots("'L1', 5.0, 1", "'L1', 5.0, 1", "'L1', 7.0, 2", "'L2', 5.0, 1"),
        lots("'L1', 5.0, 1", "'L1', 7.0, 1"),
        "one material_lot_id and one known_at have one content",
        "raw",
    ),
    drawn(
        "ems__weather",
        f"SELECT {CLOCK} AS known_at",
        f"SELECT {CLOCK} + INTERVAL 1 SECOND AS known_at",
        "nothing is known after the plant's clock",
    ),
    drawn(
        "ems__meter_interval",
        "SELECT 'coating' AS step_code",
        "SELECT 'x' AS step_code",
        "step_code is a step of the site",
    ),
    drawn(
        "mes__daughter_roll",
        values("'D1', 'M1', 1, 0.0, 500.0", "'D2', 'M1', 1, 500.0, 900.0", names=STRETCH),
        values("'D1', 'M1', 1, 0.0, 500.0", "'D2', 'M1', 1, 499.0, 900.0", names=STRETCH),
        "stretches of one mother roll don't overlap",
    ),
    drawn(
        "mes__filling",
        cells("fill_mass_g", "3700 + random()"),
        cells("fill_mass_g", "3700"),
        "the gauge of fill_mass_g is not stuck",
    ),
    drawn(
        "mes__filling",
        cells("fill_mass_g", "3700 + random()"),
        cells("fill_mass_g", "3.7 + random()"),
        "fill_mass_g is given in g",
    ),
    drawn(
        "lims__material_result",
        long_values("lfp_d50_um", "1.2 + i / 100"),
        long_values("lfp_d50_um", "1.2"),
        "the gauge of lfp_d50_um is not stuck",
    ),
    drawn(
        "lims__material_result",
        long_values("lfp_d50_um", "1.2 + i / 100"),
        long_values("lfp_d50_um", "1200 + i"),
        "lfp_d50_um is given in um",
    ),
    drawn("historian__telemetry", series(STEADY), series("18.0"), "gauges are not stuck"),
    drawn("historian__telemetry", series(STEADY), series(f"6 * ({STEADY})"), "values are given in the plan's unit"),
    drawn("historian__telemetry", series(STEADY), series("1e9 + i"), "values are physically possible"),
    drawn(
        "historian__telemetry",
        series(STEADY),
        f"{series(STEADY)} UNION ALL {series(STEADY)}",
        "control_point_no, event_at are unique on the newest day",
    ),
    drawn(
        "historian__telemetry",
        series(STEADY),
        series(STEADY, point=1),
        "control_point_no is a control point of the plan",
    ),
]


def case_id(case: Case) -> str:
    return case.name


@pytest.fixture(scope="module")
def decide(empty_home: Home, site: Site) -> Any:
    """Verdicts of plain SQL and of the library on rows."""
    database = warm_database()
    with database.attached(empty_home) as con, database.lent(POINTS, site.plan.control_points()):

        def verdicts(check: Check, profile: str, rows: str) -> tuple[bool, bool]:
            with database.batch("raw", "t", rows, stored=True) as table:
                relation = f"({profile.replace(ROWS, table)})" if profile else table
                with database.batch(PROFILES, "p", f"SELECT * FROM {relation}", stored=True) as profiled:
                    return _plain(check, table if not profile else relation), _library(check, table, profiled, profile)

        def _plain(check: Check, relation: str) -> bool:
            described = {row[0]: row[1] for row in con.execute(f"DESCRIBE FROM {relation}").fetchall()}
            by_columns = holds_by_columns(check, described)
            return by_columns if by_columns is not None else not unheld(con, relation, [check], CLOCK)

        def _library(check: Check, table: str, profiled: str, profile: str) -> bool:
            relation = profiled if profile else table
            kwargs = dict(check.kwargs)
            if check.expression:
                kwargs["expression"] = check.expression.replace(ROWS, relation).replace(NOW, CLOCK)
            schema, name = (part.strip('"') for part in relation.split("."))
            return bool(warm_engine().validate(schema, name, [replace(check, kwargs=kwargs)], "BOOLEAN_ONLY").success)

        yield verdicts


def found(site: Site, layer: str, table: str, title: str) -> tuple[Check, str]:
    """A check of a generated suite, with the SQL of the profile that it reads."""
    suite = suite_of(site, layer, table)
    check = next(each for each in suite.checks if each.title == title)
    return check, next((each.sql for each in suite.profiles if each.name == check.on), "")


def suite_of(site: Site, layer: str, table: str) -> TableSuite:
    settings = load_settings(site)
    if layer == "marts":
        return mart_suite(
            site, table, settings, {name: kind.upper() for name, kind in contracts()[table].types.items()}
        )
    make: Callable[..., TableSuite] = raw_suite if layer == "raw" else staging_suite
    return make(site, site.feeds[table], settings)


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_check_holds_on_clean_rows_and_fails_on_dirty_ones(case: Case, decide: Any, site: Site) -> None:
    check, profile = (case.check, "") if case.check else found(site, *(case.generated or ("", "", "")))
    assert check is not None
    columns = typed(site, case)
    assert decide(check, profile, columns + case.clean) == (True, True)
    assert decide(check, profile, columns + case.dirty) == (False, False)


def typed(site: Site, case: Case) -> str:
    """All columns of a feed's table, for rows that name a few of them."""
    if case.generated is None:
        return ""
    types = raw_schema(site, case.generated[1]) | {"production_day": "DATE"}
    columns = ", ".join(f"NULL::{kind} AS {quote_identifier(name)}" for name, kind in types.items())
    return f"SELECT * FROM (SELECT {columns}) WHERE false UNION ALL BY NAME "
