"""Suites written by hand: expectations/suites/*.yaml, checked when they are read."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from expectations.checks import TABLE, Check, Profile
from expectations.report import Layer
from expectations.settings import read_yaml, setting_error
from pipelines.control_plan.site import Site

FOLDER = Path(__file__).with_name("suites")
_SITE_FOLDER = "suites"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WrittenCheck(_Model):
    """One expectation: a Great Expectations type with its arguments, or a SQL rule that every row keeps.

    Attributes:
        title: what it says.
        rule: SQL that is true or NULL on every row; instead of type and kwargs.
        type: Great Expectations type, with kwargs.
        violation: with a type, SQL predicate of an offending row; a rule needs none.
        column: column it is about.
        uses: columns it reads beside `column`.
        needs: other relations of the lake it reads, `schema.table`.
        max_share: share of rows that may break a rule.
        reads: profile of this suite that it reads instead of the table (`on` would be a boolean to YAML).
    """

    title: str
    rule: str = ""
    type: Annotated[str, Field(pattern=r"^(|expect_\w+|unexpected_rows_expectation)$")] = ""
    kwargs: dict[str, Any] = {}
    violation: str = ""
    column: str = ""
    uses: tuple[str, ...] = ()
    needs: tuple[Annotated[str, Field(pattern=r"^\w+\.\w+$")], ...] = ()
    max_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    reads: str = TABLE


class WrittenProfile(_Model):
    """A query over `{rows}` that checks read instead of every row."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    sql: str
    uses: tuple[str, ...] = ()


class WrittenSuite(_Model):
    """One file: checks of one table, beside the generated ones."""

    layer: Layer
    table: Annotated[str, Field(pattern=r"^\w+$")]
    expectations: tuple[WrittenCheck, ...] = Field(min_length=1)
    profiles: tuple[WrittenProfile, ...] = ()

    def checks(self) -> list[Check]:
        """As checks."""
        return [_check(each) for each in self.expectations]

    def as_profiles(self) -> list[Profile]:
        """As profiles."""
        return [Profile(each.name, each.sql, each.uses) for each in self.profiles]


def _check(each: WrittenCheck) -> Check:
    uses = tuple(dict.fromkeys(filter(None, (each.column if each.reads == TABLE else "", *each.uses))))
    if each.rule:
        kwargs: dict[str, Any] = {"expression": each.rule, "max_share": each.max_share}
        kind, violation = "expect_rows_to_satisfy", f"NOT ({each.rule})"
    else:
        kwargs, kind, violation = each.kwargs, each.type, each.violation
    return Check(kind, kwargs, each.title, each.column, uses, each.needs, violation, each.reads)


def written_suites(site: Site) -> dict[str, list[WrittenSuite]]:
    """Hand-written suites by `layer.table`: those of the project, then those in the site's folder `suites`.

    Raises:
        CellworksError: a file is no suite; it says which, where and why.
    """
    suites: dict[str, list[WrittenSuite]] = {}
    for folder in (FOLDER, site.folder / _SITE_FOLDER):
        for path in sorted(folder.glob("*.yaml")):
            suite = _read(path, path.stat().st_mtime_ns)
            suites.setdefault(f"{suite.layer}.{suite.table}", []).append(suite)
    return suites


@cache
def _read(path: Path, _changed_ns: int) -> WrittenSuite:
    try:
        return WrittenSuite.model_validate(read_yaml(path))
    except ValidationError as error:
        raise setting_error(path, error) from error
