"""A wrong plan is refused with file, line, field, reason and remedy; all problems at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.control_plan.errors import CellworksError, PlanError, Problem
from pipelines.control_plan.site import load_site


def problems_of(folder: Path) -> tuple[Problem, ...]:
    with pytest.raises(PlanError) as caught:
        load_site(folder)
    return caught.value.problems


def line_of(rows: list[dict[str, str]], variant: str, name: str) -> int:
    return next(i for i, row in enumerate(rows) if (row["variant"], row["name"]) == (variant, name))


CELL = ("", "weld_height_um")  # nominal 320, specification 290 to 350, physical 50 to 2000
# row, changed fields, field of the problem, words of the reason, words of the remedy
SPOILED = {
    "step unknown": (CELL, {"step": "weldng"}, "step", "unknown step 'weldng'", "tab_welding"),
    "feed unknown": (CELL, {"feed": "mes__nothing"}, "feed", "unknown feed 'mes__nothing'", "mes__assembly"),
    "class unknown": (CELL, {"machine_class": "welder"}, "machine_class", "unknown class 'welder'", "tab_welder"),
    "entity of another feed": (CELL, {"entity": "module"}, "entity", "is about cell, found 'module'", "correct one"),
    "not a number": (CELL, {"nominal": "3,2O"}, "nominal", "finite number, found '3,2O'", "with a point"),
    "decimal comma": (CELL, {"usl": "350,5"}, "usl", "found '350,5'", "with a point"),
    "nan": (CELL, {"usl": "nan"}, "usl", "finite number", "12.5"),
    "infinite": (CELL, {"physical_max": "inf"}, "physical_max", "finite number", "12.5"),
    "no physical range": (CELL, {"physical_min": ""}, "physical_min", "is missing", "add it"),
    "lsl above usl": (CELL, {"lsl": "360"}, "lsl", "360 is above usl 350", "swap"),
    "nominal below lsl": (CELL, {"nominal": "280"}, "nominal", "280 is below lsl 290", "inside"),
    "nominal above usl": (CELL, {"nominal": "351"}, "nominal", "351 is above usl 350", "inside"),
    "range upside down": (CELL, {"physical_min": "3000"}, "physical_min", "not below physical_max 2000", "swap"),
    "limit beyond physics": (CELL, {"usl": "2500"}, "usl", "2500 is outside the physical range 50 to 2000", "correct"),
    "unit disagrees": (CELL, {"unit": "mm"}, "unit", "ends in _um, so the unit is 'um', found 'mm'", "change one"),
    "no unit": (CELL, {"unit": ""}, "unit", "found ''", "change one"),
    "name without suffix": (CELL, {"name": "weld_height"}, "unit", "carries no unit suffix", "_mm"),
    "special class": (CELL, {"class": "XX"}, "class", "expected '', 'SC' or 'CC', found 'XX'", "one of these"),
    "critical without limit": (
        CELL, {"class": "CC", "lsl": "", "usl": ""}, "class", "CC without a specification limit", "lsl or usl",
    ),
    "entity unknown": (CELL, {"entity": "sheet"}, "entity", "found 'sheet'", "one of these"),
    "type unknown": (CELL, {"type": "quality"}, "type", "expected 'product' or 'process'", "one of these"),
    "positions": (CELL, {"positions": "head=2"}, "positions", "can't read 'head=2'", "side:2*lane:4"),
    "positions too many": (CELL, {"positions": "head:9"}, "positions", "fewer than 9 of 'head'", "site.yaml"),
    "effects": (CELL, {"effects": "capacity_ah:up"}, "effects", "can't read 'capacity_ah:up'", "capacity_ah:+"),
    "effect on nothing": (CELL, {"effects": "joy:+"}, "effects", "unknown target 'joy'", "is_premium"),
    "source tag": (CELL, {"source_tag": "me"}, "source_tag", "can't read 'me'", "S with its number"),
    "interval": (CELL, {"sample_every": "1 min"}, "sample_every", "can't read '1 min'", "60s"),
    "sample size": (CELL, {"sample_size": "0"}, "sample_size", "greater than or equal to 1", ""),
    "capital name": (CELL, {"name": "Weld_um"}, "name", "can't read 'Weld_um'", "small letters"),
    "half a set-point": (("", "press_temp_c"), {"move_rate_per_h": ""}, "move_rate_per_h", "is empty", "needs both"),
    "set-point without bounds": (("", "press_temp_c"), {"usl": ""}, "move_max", "without lsl and usl", "both limits"),
    "product as set-point": (("", "press_temp_c"), {"type": "product"}, "type", "can't be moved", "process"),
    "no electrode": (("cathode", "burr_um"), {"variant": "lfp"}, "variant", "by electrode, found 'lfp'", "anode"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_row_is_refused_with_line_field_reason_and_remedy(case: str, edit: Callable[..., Path]) -> None:
    (variant, name), changes, field, reason, mend = SPOILED[case]
    lines = []

    def spoil(rows: list[dict[str, str]]) -> None:
        index = line_of(rows, variant, name)
        rows[index].update(changes)
        lines.append(index + 2)

    found = problems_of(edit(spoil))
    first = found[0]
    assert (first.file, first.line, first.field) == ("control_plan.csv", lines[0], field)
    assert reason in first.reason
    assert mend in first.mend
    assert len(found) == 1


def test_a_code_given_twice_names_both_lines(edit: Callable[..., Path]) -> None:
    (problem,) = problems_of(edit(lambda rows: rows.append(dict(rows[3]))))
    assert problem.field == "name"
    assert "is already on line 5" in problem.reason
    assert problem.line > 400


def test_all_problems_of_a_file_come_at_once_and_20_are_shown(edit: Callable[..., Path]) -> None:
    def spoil(rows: list[dict[str, str]]) -> None:
        for row in rows[10:40]:
            row["step"] = "nowhere"
        rows[2]["lsl"] = "many"

    with pytest.raises(PlanError) as caught:
        load_site(edit(spoil))
    assert len(caught.value.problems) == 31
    assert [problem.line for problem in caught.value.problems] == [4, *range(12, 42)]
    shown = str(caught.value).splitlines()
    assert shown[0].endswith("31 problems")
    assert len(shown) == 1 + 20 + 1
    assert shown[-1].strip() == "... and 11 more"
    assert "control_plan.csv:4: lsl: expected a finite number, found 'many'" in shown[1]


def test_a_row_with_several_misfits_tells_them_all(edit: Callable[..., Path]) -> None:
    def spoil(rows: list[dict[str, str]]) -> None:
        rows[line_of(rows, *CELL)].update(unit="mm", lsl="360", usl="3000", nominal="4000")

    assert {problem.field for problem in problems_of(edit(spoil))} == {"unit", "nominal", "usl"}


def test_one_broken_row_does_not_make_others_look_wrong(edit: Callable[..., Path]) -> None:
    """capacity_ah is the target of effects and part of grades; breaking it is still one problem."""
    found = problems_of(edit(lambda rows: rows[line_of(rows, "", "capacity_ah")].update(usl="x")))
    assert [problem.field for problem in found] == ["usl"]


FILES: dict[str, tuple[bytes, str, int]] = {
    "empty": (b"", "the file is empty", 0),
    "blank": (b" \n\n", "the file is empty", 0),
    "semicolons": (b"step;variant;name\na;b;c\n", "columns are separated by ';'", 1),
    "tabs": (b"step\tvariant\tname\n", "columns are separated by '\\t'", 1),
    "latin-1": ("step,variant\nm\xe9lange,\n".encode("latin-1"), "byte 0xe9 is not UTF-8", 2),
    "utf-16": ("step,variant\n".encode("utf-16"), "is not UTF-8", 1),
    "utf-16 without mark": ("step,variant\n".encode("utf-16-le"), "a NUL byte", 1),
    "binary": (b"PAR1\x00\x01\x02" * 40, "a NUL byte", 1),
    "huge": (b"step," * 4_000_000, "too large", 0),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_plan_is_refused(case: str, copy: Path) -> None:
    content, reason, line = FILES[case]
    (copy / "control_plan.csv").write_bytes(content)
    problem = problems_of(copy)[0]
    assert (problem.file, problem.line) == ("control_plan.csv", line)
    assert reason in problem.reason
    assert problem.mend


def test_header_problems_name_each_column(copy: Path) -> None:
    path = copy / "control_plan.csv"
    path.write_text(path.read_text().replace("nominal,lsl", "nominl,usl", 1))
    found = {(problem.field, problem.reason) for problem in problems_of(copy)}
    assert found == {
        ("nominal", "this column is missing"),
        ("lsl", "this column is missing"),
        ("nominl", "is not a known column"),
        ("usl", "this column is there twice"),
    }


def test_header_alone_and_truncated_file(copy: Path) -> None:
    path = copy / "control_plan.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0])
    assert "no row" in problems_of(copy)[0].reason
    path.write_text("".join(lines)[:-30])
    found = problems_of(copy)
    assert found[0].line == len(lines)
    assert "expected 28 cells" in found[0].reason


def test_an_open_quote_and_a_giant_cell_are_told_with_their_line(copy: Path) -> None:
    path = copy / "control_plan.csv"
    good = path.read_text()
    path.write_text(good + 'mixing,"open\n')
    assert "not valid CSV" in problems_of(copy)[0].reason
    path.write_text(good + "x" * 200_000 + "\n")
    problem = problems_of(copy)[0]
    assert "not valid CSV" in problem.reason
    assert problem.line == good.count("\n") + 1


def test_byte_order_mark_crlf_blank_lines_and_column_order_do_not_matter(copy: Path) -> None:
    path = copy / "control_plan.csv"
    rows = load_site(copy).plan.rows
    path.write_bytes(b"\xef\xbb\xbf" + path.read_text().replace("\n", "\r\n\r\n").encode())
    again = load_site(copy).plan.rows
    assert [row.model_copy(update={"line_no": 0}) for row in again] == [
        row.model_copy(update={"line_no": 0}) for row in rows
    ]


def test_missing_folder_and_files(tmp_path: Path) -> None:
    with pytest.raises(CellworksError, match="no such site folder") as caught:
        load_site(tmp_path / "nowhere")
    assert "infra/sites/demo" in str(caught.value)
    assert {problem.file for problem in problems_of(tmp_path)} == {"site.yaml", "feeds.yaml", "control_plan.csv"}
