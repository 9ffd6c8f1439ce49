"""Pages of the 48 solutions, made of `docs/solutions.json`, which `cellworks evaluate --all --docs docs` writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[1] / "solutions.json"
COMMAND = "cellworks evaluate --all --docs docs"
INDEX = "solutions/index.md"
_MARK = {"working": "working", "failing": "**failing**", "not_run": "not run"}

Row = Mapping[str, Any]


def measured(file: Path = FILE) -> Mapping[str, Any] | None:
    """What was measured; None before anybody did."""
    if not file.is_file():
        return None
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def pages(told: Mapping[str, Any] | None) -> dict[str, str]:
    """Address and text of every page."""
    if told is None:
        return {INDEX: f"# The 48 solutions\n\nNot measured yet: `{COMMAND}`.\n"}
    return {INDEX: index(told), **{address(row): page(row) for row in told["solutions"]}}


def nav(told: Mapping[str, Any] | None) -> list[Any]:
    """The pages as they stand in the navigation: the table, then each stage's."""
    found: dict[str, list[str]] = {}
    for row in told["solutions"] if told else []:
        found.setdefault(row["stage"], []).append(address(row))
    return [INDEX, *({stage: listed} for stage, listed in found.items())]


def address(row: Row) -> str:
    """Where a solution's page lies."""
    return f"solutions/{row['slug']}.md"


def index(told: Mapping[str, Any]) -> str:
    """The table of all."""
    rows = told["solutions"]
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in _MARK}
    night = told.get("last_night_at")
    when = f", on a home whose last night was that of {night} (UTC, the plant's time)" if night else ""
    summary = (
        f"Of {len(rows)}, {counts['working']} work, {counts['failing']} fail a line and {counts['not_run']} were not "
        f"run. Measured on {told['measured_on']} with `{COMMAND}`{when}; optimisers on {told['plants']} plants of "
        "their own. A solution works when it ran on rows after its training window, wrote its rows and actions, its "
        "asset checks passed, and it met the line of each of its families."
    )
    lines = [
        "# The 48 solutions",
        summary,
        _table(
            ("#", "solution", "family", "acts at", "verdict", "figure", "naive", "95 %"),
            (
                (
                    str(row["number"]),
                    f"[{row['stage']}/{row['slug']}]({row['slug']}.md)",
                    row["family"],
                    row["acts_at"],
                    _MARK[row["verdict"]],
                    _named(row),
                    _figure(row["baseline"]),
                    _band(row["interval"]),
                )
                for row in rows
            ),
        ),
    ]
    return "\n\n".join(lines) + "\n"


def page(row: Row) -> str:
    """One solution."""
    over = ", ".join(each.replace("_", " ") for each in row["actions"])
    parts = [
        f"# {row['stage']}/{row['slug']}",
        f"*{row['asks']}*",
        f"Number {row['number']} of the catalogue: {row['family']}, acts at {row['acts_at']}, proposes: {over}.",
        f"Verdict: {_MARK[row['verdict']]}: {row['reason']}.",
        *(text for part in row["parts"] for text in _part(part, is_alone=len(row["parts"]) == 1)),
    ]
    lacking = [name for name in row["folders"] if name not in {part["solution"] for part in row["parts"]}]
    if lacking:
        parts.append(f"Not built yet: {', '.join(f'`orchestration/defs/{name}`' for name in lacking)}.")
    return "\n\n".join(parts) + "\n"


def _part(part: Row, *, is_alone: bool) -> Iterable[str]:
    """One folder of a solution."""
    if not is_alone:
        yield f"## {part['solution']}: {_MARK[part['verdict']]}"
    yield f"{part['question']} {part['description']}".strip()
    action = part["action"].replace("_", " ")
    yield f"Reads `{part['table']}` first, proposes {action}: `orchestration/defs/{part['solution']}`."
    if part["metric"]:
        yield _table(
            ("metric", "value", "beside", "95 %"),
            [(part["metric"], _figure(part["value"]), _figure(part["baseline"]), _band(part["interval"]))],
        )
    if meaning := part["figures"].get("interval_of"):
        yield f"The interval is that of {meaning}."
    if part["lines"]:
        yield _table(
            ("found", "asked", "met"),
            ((line["found"], line["asks"], "yes" if line["is_met"] else "**no**") for line in part["lines"]),
        )
    if examples := part["figures"].get("examples"):
        names = ("asked", "said", "rows")
        yield _table(names, (tuple(each[name] for name in names) for each in examples))
    if part["picture"]:
        yield f"![{part['solution']}](../images/solutions/{part['picture']})"


def _named(row: Row) -> str:
    return f"{row['metric']}: {_figure(row['value'])}" if row["metric"] else "-"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _band(interval: list[float] | None) -> str:
    return "-" if not interval else f"{_figure(interval[0])} to {_figure(interval[1])}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
