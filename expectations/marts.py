"""Suites of the marts: what dbt's contracts promise, the plan's ranges, the site's codes, order in time, row counts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from expectations.checks import (
    Check,
    TableSuite,
    aggregate,
    between,
    columns_exist,
    in_set,
    lake,
    not_null,
    references,
    rows_satisfy,
    unique,
)
from expectations.settings import Settings, read_yaml, setting_error
from expectations.staging import machines_of, range_check, staging_table
from pipelines.control_plan.derive import expectation_ranges
from pipelines.control_plan.site import Site
from pipelines.lake.sql import quote_identifier

CONTRACTS = Path(__file__).resolve().parents[1] / "dbt" / "contracts" / "marts.yml"
_RATIOS = ("availability", "performance", "quality", "oee")


class Identity(BaseModel):
    """A rule that every row keeps; where it is NULL, `null_is_good` decides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    rule: str
    null_is_good: bool = False


class Contract(BaseModel):
    """What dbt's hand-written contract says of a mart, as far as checks follow from it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    domain: str
    keys: tuple[str, ...]
    columns: tuple[dict[str, str], ...]
    references: dict[str, Annotated[str, Field(pattern=r"^\w+\.\w+$")]] = {}
    identities: tuple[Identity, ...] = ()
    test_newest_day: bool = False

    @property
    def types(self) -> dict[str, str]:
        """Columns written out in the contract and their types; `!` means never null."""
        return {name: kind for entry in self.columns if "plan" not in entry for name, kind in entry.items()}


def contracts() -> dict[str, Contract]:
    """Contracts of all marts by name.

    Raises:
        CellworksError: the file is no contract.
    """
    return _contracts(CONTRACTS.stat().st_mtime_ns)


@cache
def _contracts(_changed_ns: int) -> dict[str, Contract]:
    try:
        return {name: Contract.model_validate(each) for name, each in read_yaml(CONTRACTS).items()}
    except ValidationError as error:
        raise setting_error(CONTRACTS, error) from error


def mart_suite(site: Site, name: str, settings: Settings, present: Mapping[str, str]) -> TableSuite:
    """Checks of one mart that has the columns `present`."""
    contract = contracts()[name]
    types = {column: kind.removesuffix("!").upper() for column, kind in contract.types.items()}
    checks = [
        columns_exist(list(types)),
        *(not_null(column) for column in dict.fromkeys([*contract.keys, *_required(contract)])),
        _grain(name, contract, present),
        *(range_check(each) for each in expectation_ranges(site, present)),
        *_codes(site, present),
        *_ratios(present),
        *_identities(site, contract, present),
        *_references(contract),
        *_order(site, present),
        *_row_count(name, settings),
    ]
    return TableSuite("marts", name, contract.domain, tuple(checks), types)


def _required(contract: Contract) -> list[str]:
    return [column for column, kind in contract.types.items() if kind.endswith("!")]


def _grain(name: str, contract: Contract, present: Mapping[str, str]) -> Check:
    if contract.test_newest_day and "production_day" in present:
        # Hundreds of thousands of rows a day: every day is the newest of its night.
        keys = ", ".join(quote_identifier(key) for key in contract.keys)
        newest = f"production_day = (SELECT max(production_day) FROM {lake(f'marts.{name}')})"
        counted = f"count(*) FILTER (WHERE {newest}) - count(DISTINCT ({keys})) FILTER (WHERE {newest})"
        title = f"{', '.join(contract.keys)} are unique on the newest day"
        return aggregate(counted, 0, 0, title=title, column=contract.keys[0], uses=[*contract.keys, "production_day"])
    return unique(contract.keys)


def _codes(site: Site, present: Mapping[str, str]) -> Iterator[Check]:
    machine_columns = {"machine_id", *(f"{machine.machine_class}_id" for machine in site.machines())}
    grades = [grade.code for grade in site.grades]
    for column in present:
        stem = column.removeprefix("cathode_").removeprefix("anode_")
        if stem in machine_columns:
            yield in_set(column, machines_of(site, column), title=f"{column} is a machine of the site")
        elif column == "step_code":
            yield in_set(column, list(site.plan.steps_by_code), title=f"{column} is a step of the site")
        elif column == "shift_code":
            yield in_set(column, [shift.code for shift in site.shifts])
        elif column in ("grade_code", "final_grade_code"):
            yield in_set(column, grades)


def _ratios(present: Mapping[str, str]) -> Iterator[Check]:
    for column in present:
        if column in _RATIOS or column.endswith("_ratio"):
            yield between(column, 0, 1)


def _identities(site: Site, contract: Contract, present: Mapping[str, str]) -> Iterator[Check]:
    numbers = {"nominal_energy_kwh": site.product.nominal_energy_kwh}
    for identity in contract.identities:
        rule = identity.rule.format(**numbers)
        words = set(re.findall(r"\w+", rule))
        uses = [column for column in present if column in words]
        expression = rule if identity.null_is_good else f"coalesce(({rule}), false)"
        yield rows_satisfy(expression, title=f"{identity.name.replace('_', ' ')} holds", uses=uses)


def _references(contract: Contract) -> Iterator[Check]:
    for column, target in contract.references.items():
        table, key = target.split(".")
        # Another domain's marts may be held back by its own checks; staging asks for what arrived.
        if contracts()[table].domain == contract.domain:
            yield references(column, f"marts.{table}", key, title=f"{column} is found in {table}.{key}")


def _order(site: Site, present: Mapping[str, str]) -> Iterator[Check]:
    steps = [step.code for step in site.plan.steps if not step.is_facility and f"{step.code}_at" in present]
    for before, after in pairwise(f"{code}_at" for code in steps):
        yield rows_satisfy(f"{before} <= {after}", title=f"{before} is not after {after}", column=after, uses=[before])


def _row_count(name: str, settings: Settings) -> Iterator[Check]:
    feed = settings.same_rows.get(name)
    if feed is None:
        return
    source = f"staging.{staging_table(feed)}"
    expression = f"count(*) - (SELECT count(*) FROM {lake(source)})"
    yield aggregate(expression, 0, 0, title=f"has one row for each row of {source}", needs=[source])


def mart_names(domain: str) -> list[str]:
    """Marts of a domain that have a contract."""
    return [name for name, contract in contracts().items() if contract.domain == domain]
