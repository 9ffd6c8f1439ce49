"""Reading control_plan.csv: every problem with its line, field, reason and remedy, all of them at once."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.control_plan.errors import PlanError, Problem
from pipelines.control_plan.plan import Characteristic
from pipelines.control_plan.row_check import InconsistentRowError
from pipelines.control_plan.yaml_file import reason_and_mend

FILE = "control_plan.csv"
COLUMNS = (
    "step", "variant", "name", "type", "entity", "feed", "machine_class", "positions", "unit", "nominal", "lsl", "usl",
    "physical_min", "physical_max", "class", "gauge", "gauge_sd", "resolution", "sample_size", "sample_every",
    "delay_s", "control_method", "reaction", "move_max", "move_rate_per_h", "effects", "owner", "source_tag",
)  # fmt: skip
MAX_BYTES = 16 * 1024 * 1024
_POSITION = re.compile(r"^([a-z]+):([1-9]\d{0,3})$")
_EFFECT = re.compile(r"^([a-z][a-z0-9_]*):([+-])$")


def decode(content: bytes, folder: Path, file: str) -> str:
    """Text of a site file, which must be UTF-8 and not empty.

    Raises:
        PlanError: empty, too large, binary, or another encoding; with the line of the first bad byte.
    """
    if not content.strip():
        raise PlanError(str(folder), [Problem(file, 0, "", "the file is empty", "see infra/sites/demo for one")])
    if len(content) > MAX_BYTES:
        reason = f"{len(content) / 1e6:.0f} MB is too large for a plan, the limit is {MAX_BYTES / 1e6:.0f} MB"
        raise PlanError(str(folder), [Problem(file, 0, "", reason, "is it the right file?")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        reason = f"byte 0x{content[error.start]:02x} is not UTF-8"
        raise PlanError(str(folder), [Problem(file, line, "", reason, "save the file as UTF-8")]) from error
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        reason = "a NUL byte: this is no text, or UTF-16"
        raise PlanError(str(folder), [Problem(file, line, "", reason, "save the file as UTF-8")])
    return text


def read_rows(text: str, folder: Path) -> tuple[list[Characteristic], list[Problem]]:
    """Rows that are good by themselves, and the problems of those that aren't.

    Raises:
        PlanError: the header doesn't fit, so that no row can be read.
    """
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Characteristic] = []
    problems: list[Problem] = []
    try:
        header = next(lines, [])
        if bad := list(header_problems(header)):
            raise PlanError(str(folder), bad)
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            row, found = _read_row(header, cells, lines.line_num)
            problems += found
            if row is not None:
                rows.append(row)
    except csv.Error as error:
        problems.append(Problem(FILE, lines.line_num, "", f"not valid CSV: {error}", "check the quotes"))
    if not rows and not problems:
        problems.append(Problem(FILE, 1, "", "there is a header but no row", "add the characteristics"))
    return rows, problems


def header_problems(header: list[str]) -> Iterator[Problem]:
    """What is wrong with a header; nothing when its columns are those of the plan, in any order."""
    if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), None)):
        yield Problem(FILE, 1, "", f"columns are separated by {other!r}", "separate them by commas")
        return
    for column in COLUMNS:
        if column not in header:
            yield Problem(FILE, 1, column, "this column is missing", "add it to the header (its cells may be empty)")
    for column in dict.fromkeys(header):
        if column not in COLUMNS:
            yield Problem(FILE, 1, column, "is not a known column", "remove it or correct its spelling")
        elif header.count(column) > 1:
            yield Problem(FILE, 1, column, "this column is there twice", "remove one")


def _read_row(header: list[str], cells: list[str], line: int) -> tuple[Characteristic | None, list[Problem]]:
    if len(cells) != len(header):
        reason = f"expected {len(header)} cells, found {len(cells)}"
        return None, [Problem(FILE, line, "", reason, "put a cell with a comma in quotes")]
    given = {column: cell.strip() for column, cell in zip(header, cells, strict=True) if cell.strip()}
    problems = list(_parse_cells(given, line))
    fields: dict[str, Any] = {"unit": "", **given, "line_no": line}
    try:
        row = Characteristic.model_validate(fields)
    except ValidationError as error:
        bad = {problem.field for problem in problems}
        found = (each for detail in error.errors(include_url=False) for each in _row_problems(detail, line))
        return None, problems + [problem for problem in found if problem.field not in bad]
    return (None if problems else row), problems


def _parse_cells(given: dict[str, Any], line: int) -> Iterator[Problem]:
    """Turn the two composed cells, positions and effects, into what the model takes."""
    positions, effects = given.get("positions", ""), given.get("effects", "")
    parts = [_POSITION.match(part) for part in positions.split("*")] if positions else []
    if not all(parts):
        yield Problem(FILE, line, "positions", f"can't read {positions!r}", "write it like zone:12 or side:2*lane:4")
    given["positions"] = tuple((part[1], int(part[2])) for part in parts if part)
    marks = [_EFFECT.match(part) for part in effects.split()]
    if not all(marks):
        yield Problem(FILE, line, "effects", f"can't read {effects!r}", "write it like capacity_ah:+ dcir_mohm:-")
    given["effects"] = tuple({"target": mark[1], "sign": 1 if mark[2] == "+" else -1} for mark in marks if mark)


def _row_problems(detail: Any, line: int) -> Iterator[Problem]:
    error = detail.get("ctx", {}).get("error")
    if isinstance(error, InconsistentRowError):
        yield from (Problem(FILE, line, *finding) for finding in error.findings)
        return
    field = str(detail["loc"][0])
    reason, mend = reason_and_mend(detail)
    if detail["type"] == "string_pattern_mismatch":
        reason, mend = f"can't read {detail['input']!r}", _PATTERNS.get(field, "use small letters, digits and _")
    yield Problem(FILE, line, field, reason, mend)


_PATTERNS = {
    "source_tag": "write S with its number, L, E or C, several with a space between",
    "sample_every": "write unit, batch, roll, lot, shift, day or an interval such as 60s",
}
