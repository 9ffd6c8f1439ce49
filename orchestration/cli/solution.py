"""`solution new`: a predictive solution from a person's own table, written without asking and without Python."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from models.families import PREDICTIVE_MODEL
from models.profile import ProfileReport, profile_table
from models.solution import SolutionSpec, seen_at
from orchestration.catalogue import build_spec, discover, refuse_shared_slugs, type_of
from orchestration.cli import console
from orchestration.cli.night_summary import command
from orchestration.environment import own_definitions
from orchestration.plant import Plant, plant
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.files import SUFFIXES, file_suffix, resolve_file

_LEARNT_FROM = ("raw", "staging", "marts")
"""Schemas whose tables belong to a domain that is checked and published."""
_NAME = re.compile(r"([a-z][a-z0-9_]*)/([a-z][a-z0-9_]*)")


@dataclass(frozen=True)
class Roles:
    """Columns of the table by what they stand for; `time` and `group` may be absent."""

    target: str
    entity: str
    time: str | None = None
    group: str | None = None

    def refuse_twice(self) -> None:
        """Refuse one column in two roles that exclude each other.

        Raises:
            CellworksError: The target is also entity, time or group, or the entity is also the time.
        """
        pairs = (("target", "entity"), ("target", "time"), ("target", "group"), ("entity", "time"))
        for one, other in pairs:
            if getattr(self, one) == getattr(self, other):
                raise CellworksError(
                    f"the column '{getattr(self, one)}' can't be both {one} and {other}",
                    expected=f"two different columns for --{one} and --{other}",
                    found=f"--{one} '{getattr(self, one)}' --{other} '{getattr(self, other)}'",
                    mend=f"name another column with --{other}",
                )


def new(name: str, table: str, roles: Roles, *, exclude: Sequence[str] = (), as_json: bool = False) -> None:
    """Look at the table, write the solution's folder, and tell what was chosen and left out.

    Args:
        name: `stage/slug` of the solution.
        table: A CSV, Parquet or JSON-lines file, or a lake relation.
        roles: Columns by role.
        exclude: Columns that must not be features.
        as_json: One document instead of sentences.

    Raises:
        CellworksError: The name is taken or wrong, or nothing can be learnt from the table; nothing is written then.
    """
    file, report = propose(plant(), name, table, roles, exclude)
    found = {
        "solution": name,
        "file": file,
        "task": report.task,
        "rows": report.rows,
        "labelled": report.labelled,
        "classes": report.classes,
        "keys": report.keys,
        "features": report.features,
        "left_out": report.excluded,
        "leaks": report.leaks,
        "notes": report.notes,
    }
    if as_json:
        console.tell(found, "", as_json=True)
        return
    console.line(f"wrote {file}", 0)
    counts = f", {report.labelled:,} labelled of {report.rows:,} rows, {len(report.features)} features"
    console.line(f"task {report.task}{counts}")
    if report.classes:
        console.line(", ".join(f"{label}: {count:,}" for label, count in report.classes.items()))
    for column, reason in report.excluded.items():
        console.line(f"left out '{column}': {reason}", style="yellow" if column in report.leaks else "")
    for note in report.notes:
        console.line(note)
    console.line(f"Train, gate and score it:  {command(f'nightly --only {name}')}", 0)


def propose(
    here: Plant, name: str, table: str, roles: Roles, exclude: Sequence[str] = ()
) -> tuple[Path, ProfileReport]:
    """Write the `defs.yaml` of a new solution below the instance's own folder; see `new`."""
    stage, slug = _parts(name)
    roles.refuse_twice()
    folder = own_definitions() / stage / slug
    known = discover()
    _refuse_taken(name, folder, known)
    source = _source(table)
    report = profile_table(source, roles.target, roles.entity, roles.time, roles.group, exclude=exclude, home=here.home)
    attributes = _attributes(source, roles, report)
    refuse_shared_slugs([*known, build_spec(PREDICTIVE_MODEL, (stage, slug), attributes, str(folder / "defs.yaml"))])
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "defs.yaml"
    # Written aside and renamed: a sensor or a night that looks in between sees no half of a file.
    draft = file.with_suffix(".draft")
    draft.write_text(_render(attributes, report), encoding="utf-8")
    draft.replace(file)
    return file, report


def _parts(name: str) -> tuple[str, str]:
    found = _NAME.fullmatch(name)
    if found is None:
        raise CellworksError(
            f"'{name}' can't name a solution",
            expected="stage/slug in lower-case letters, digits and underscores, such as my_stage/my_model",
            found=name,
            mend="give another name",
        )
    return found[1], found[2]


def _refuse_taken(name: str, folder: Path, known: list[SolutionSpec]) -> None:
    if folder.exists() or any(spec.solution == name for spec in known):
        raise CellworksError(
            f"the solution {name} is there already",
            expected="a name that is not taken",
            found=name,
            mend=f"take another name, or edit or remove {folder}",
        )


def _source(table: str) -> str:
    """The table as the YAML names it: a file by its whole path, so that a schedule finds it from any folder."""
    if file_suffix(table) is not None:
        return str(resolve_file(table, None))
    if Path(table).expanduser().exists() or "/" in table:
        raise CellworksError(
            f"the table {table} is of a kind that can't be read",
            expected=f"a file that ends in {', '.join(SUFFIXES)}, or a table of the lake such as marts.machine_hour",
            found=table,
            mend="save it as CSV or Parquet",
        )
    if table.split(".", 1)[0] not in _LEARNT_FROM:
        raise CellworksError(
            f"no model over the table {table} could be promoted: nothing checks and publishes it",
            expected=f"a table file, or a table of the lake in {', '.join(_LEARNT_FROM)}, such as marts.machine_hour",
            found=table,
            mend="write the rows to a CSV or Parquet file and name that",
        )
    return table


def _attributes(table: str, roles: Roles, report: ProfileReport) -> dict[str, Any]:
    target: dict[str, Any] = {"column": roles.target}
    if report.task == "binary":
        target["positive"] = list(report.classes)[-1]  # classes are told as [other, event]
    split = {role: column for role, column in (("time", roles.time), ("group", roles.group)) if column}
    return {
        "question": f"What is '{roles.target}' of each '{roles.entity}'?",
        "entity": seen[0] if (seen := seen_at(table)) else "row",
        "table": table,
        **({"acts_at": seen[1]} if seen else {}),
        "keys": report.keys,
        "features": {"select": report.features},
        "target": target,
        "task": report.task,
        **({"split": split} if split else {}),
        "action": {"kind": "report"},
    }


def _render(attributes: Mapping[str, Any], report: ProfileReport) -> str:
    left_out = [f"#   {_one_line(column)}: {_one_line(reason)}" for column, reason in report.excluded.items()]
    head = [f"# Proposed by `cellworks solution new` from {_rows_in_words(report)}."]
    if left_out:
        head += ["# Columns left out of the features, and why:", *left_out]
    content = {"type": type_of(PREDICTIVE_MODEL), "attributes": dict(attributes)}
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
    return "\n".join([*head, body])


def _rows_in_words(report: ProfileReport) -> str:
    return f"{report.rows:,} rows, {report.labelled:,} labelled"


def _one_line(text: str) -> str:
    """A header may hold a line break, which would end the comment."""
    return " ".join(text.split())
