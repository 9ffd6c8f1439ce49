"""Which columns may be features: patterns of the YAML, types, and the leak guard of the control plan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from models.context import ModelContext
from models.solution import LearningSpec, SolutionSpec
from pipelines.control_plan.errors import CellworksError

if TYPE_CHECKING:
    from pipelines.control_plan.site import Site

_NUMBERS = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
    "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN",
)  # fmt: skip
_TEXTS = ("VARCHAR", "ENUM", "UUID")


@dataclass
class Selection:
    """Columns taken, and every column left out with its reason."""

    numbers: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """All columns taken, numbers first."""
        return [*self.numbers, *self.categories]


def kind_of(duckdb_type: str) -> str | None:
    """`number`, `category`, or None for a type that cannot be a feature (dates, lists, structs)."""
    if duckdb_type.endswith("]") or duckdb_type.startswith(("STRUCT", "MAP", "UNION")):
        return None
    if duckdb_type.startswith(_NUMBERS):
        return "number"
    return "category" if duckdb_type.startswith(_TEXTS) else None


def matches(name: str, pattern: str) -> bool:
    """Whether a column matches a pattern of `*` and `?`; brackets are plain text, for units stand in them."""
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def unknown_at_step(spec: SolutionSpec, site: Site | None) -> set[str]:
    """Characteristics of the control plan that are not known yet when the solution acts.

    Raises:
        CellworksError: the plan has no such step.
    """
    if site is None or spec.acts_at is None:
        return set()
    from pipelines.control_plan.derive import columns_known_at

    if spec.acts_at not in {step.code for step in site.plan.steps}:
        raise CellworksError(
            f"the control plan has no step '{spec.acts_at}'",
            expected="one of " + ", ".join(step.code for step in site.plan.steps),
            found=spec.acts_at,
            where=f"{spec.solution}: acts_at",
        )
    known = set(columns_known_at(site, spec.entity, spec.acts_at))
    return {str(code) for code in site.plan.by_code} - known


def _refuse_leaks(spec: LearningSpec, roles: dict[str, str], late: set[str]) -> None:
    """A column named outright that must not be seen is a mistake to tell, not to repair."""
    for name in sorted(spec.features.outright):
        why = roles.get(name) if roles.get(name, "").endswith(("target", "known")) else None
        if name in late:
            why = f"not known at step '{spec.acts_at}'"
        if why:
            raise CellworksError(
                f"the feature '{name}' leaks: {why}",
                expected=f"only what is known when the solution acts ({spec.acts_at or 'before the target'})",
                found=f"features.select names '{name}'",
                mend="take it out of features.select",
                where=spec.solution,
            )


def _reason_out(name: str, duckdb_type: str, spec: LearningSpec, roles: dict[str, str], late: set[str]) -> str | None:
    """Why a column is no feature; None when it is one."""
    if name in roles:
        return roles[name]
    reasons = {
        "bookkeeping column": name.startswith("_"),
        "not selected": not any(matches(name, pattern) for pattern in spec.features.select),
        "excluded in the YAML": any(matches(name, pattern) for pattern in spec.features.exclude),
        f"not known at step '{spec.acts_at}'": name in late,
        f"type {duckdb_type} is no feature": kind_of(duckdb_type) is None,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def select_features(spec: LearningSpec, ctx: ModelContext, columns: dict[str, str]) -> Selection:
    """Choose the candidate features among a table's columns.

    Args:
        spec: the solution.
        ctx: its site gives the leak guard the control plan.
        columns: column name to DuckDB type.

    Returns:
        Candidates in the table's order and each left-out column with its reason.

    Raises:
        CellworksError: a column named outright is missing or leaks, or nothing is left.
    """
    absent = sorted(spec.features.outright - columns.keys())
    if absent:
        raise CellworksError(
            f"features.select names columns that '{spec.table}' does not have",
            found=", ".join(absent),
            expected="names from: " + ", ".join(list(columns)[:30]),
            where=spec.solution,
        )
    roles, late = spec.roles, unknown_at_step(spec, ctx.site)
    _refuse_leaks(spec, roles, late)
    chosen = Selection()
    for name, duckdb_type in columns.items():
        reason = _reason_out(name, duckdb_type, spec, roles, late)
        if reason is not None:
            chosen.dropped[name] = reason
        elif kind_of(duckdb_type) == "number":
            chosen.numbers.append(name)
        else:
            chosen.categories.append(name)
    if not chosen.columns:
        raise CellworksError(
            f"no column of '{spec.table}' can be a feature",
            found="; ".join(f"{name}: {why}" for name, why in list(chosen.dropped.items())[:10]),
            where=spec.solution,
        )
    return chosen


def exact_selection(names: Iterable[str], columns: dict[str, str], table: str) -> Selection:
    """The selection of a contract learnt before: these columns and no other.

    Raises:
        CellworksError: a column is gone or can be no feature any more.
    """
    chosen = Selection()
    for name in dict.fromkeys(names):
        kind = kind_of(columns[name]) if name in columns else None
        if kind is None:
            raise CellworksError(
                f"the model needs the column '{name}'",
                expected=f"it as a number or text in '{table}'",
                found=columns.get(name, "no such column"),
                mend="bring the column back, or retrain without it",
            )
        (chosen.numbers if kind == "number" else chosen.categories).append(name)
    return chosen
