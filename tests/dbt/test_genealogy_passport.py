"""traceability/genealogy_passport on a small plant, beside a walk through the line's raw rows one by one."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from models.context import ModelContext
from models.families import family_of
from models.features.source import open_tables
from models.solution import SolutionSpec
from models.traceability.passport import faults_of
from models.traceability.spec import TraceSpec
from orchestration.catalogue import build_spec, find
from orchestration.cli import trace as tracing
from orchestration.evaluation.foil_lots import foil_line
from orchestration.night import solve
from orchestration.plant import Plant
from orchestration.solving import PREDICTIONS, Outcome
from pipelines.control_plan.site import load_site
from pipelines.curation.contracts import PROJECT
from pipelines.curation.report import CurateReport
from pipelines.lake.connection import reader, writer
from pipelines.lake.home import Home
from pipelines.lake.publish import publish

SITE = load_site(PROJECT.parent / "infra" / "sites" / "demo")
FEEDS = {
    "mes__batch_material": "slurry_batch_id, material_lot_id",
    "mes__mother_roll": "mother_roll_id",
    "mes__foil_splice": "mother_roll_id, splice_no",
    "mes__daughter_roll": "daughter_roll_id",
    "mes__stacking": "cell_id",
    "mes__assembly": "cell_id",
    "mes__filling": "cell_id",
    "tester__formation": "cell_id",
    "mes__module": "cell_id",
}
pytestmark = pytest.mark.slow


@dataclass
class Line:
    """What the line delivered, the newest of each key, and what follows from it by hand."""

    home: Home
    rows: dict[str, list[dict[str, Any]]]
    lots: dict[str, set[str]]
    metres: dict[tuple[str, str], tuple[float, float]]

    @property
    def cells_of(self) -> dict[str, set[str]]:
        """Lot -> its cells."""
        found: dict[str, set[str]] = defaultdict(set)
        for cell, lots in self.lots.items():
            for lot in lots:
                found[lot].add(cell)
        return found


@pytest.fixture(scope="module")
def line(home: Home, run_all: Callable[[Home], list[CurateReport]]) -> Iterator[Line]:
    run_all(home)
    with writer(home, why="test") as con:
        publish(con, "test", "test")
    with reader(home) as con:
        rows = {
            feed: con.execute(
                f"SELECT * FROM raw.{feed} QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY known_at DESC) = 1"
            )
            .to_arrow_table()
            .to_pylist()
            for feed, key in FEEDS.items()
        }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELLWORKS_HOME", str(home.root))
        yield Line(home, rows, *by_hand(rows))


def by_hand(rows: dict[str, list[dict[str, Any]]]) -> tuple[dict[str, set[str]], dict[tuple[str, str], Any]]:
    """Each cell's lots, and its metres on each of its two mother rolls."""
    of_batch: dict[str, set[str]] = defaultdict(set)
    for row in rows["mes__batch_material"]:
        of_batch[row["slurry_batch_id"]].add(row["material_lot_id"])
    mothers = {row["mother_roll_id"]: row for row in rows["mes__mother_roll"]}
    spliced: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(rows["mes__foil_splice"], key=lambda row: row["splice_no"]):
        spliced[row["mother_roll_id"]].append(row)
    daughters = {row["daughter_roll_id"]: row for row in rows["mes__daughter_roll"]}
    lots, metres = {}, {}
    for cell in rows["mes__stacking"]:
        found = {cell["separator_lot_id"]}
        for electrode in ("cathode", "anode"):
            daughter = daughters.get(cell[f"{electrode}_roll_id"])
            if daughter is None:
                continue
            begin, end = cell[f"{electrode}_from_m"], cell[f"{electrode}_to_m"]
            at = (daughter["from_m"] + begin, daughter["from_m"] + end)
            if daughter["is_flipped"]:
                at = (daughter["to_m"] - end, daughter["to_m"] - begin)
            metres[cell["cell_id"], daughter["mother_roll_id"]] = at
            if mother := mothers.get(daughter["mother_roll_id"]):
                found |= foil_at(mother, spliced[mother["mother_roll_id"]], at) | of_batch[mother["slurry_batch_id"]]
        lots[cell["cell_id"]] = found
    for feed, columns in (("mes__assembly", ("can_lot_id", "cap_lot_id")), ("mes__filling", ("electrolyte_lot_id",))):
        own = {row["cell_id"]: [row] for row in rows[feed] if row["cell_id"] in lots}
        for cell, told in (own | neighbours_of_lost(rows, feed)).items():
            lots[cell] |= {row[column] for row in told for column in columns}
    return lots, metres


def foil_at(mother: dict[str, Any], splices: list[dict[str, Any]], at: tuple[float, float]) -> set[str]:
    """Lots of foil on a stretch of a roll, both of them within half a metre of a splice."""
    lots = [mother["foil_lot_id"], *(each["begun_lot_id"] for each in splices)]
    ends = [-math.inf, *(each["at_m"] for each in splices), math.inf]
    return {
        lot for lot, begin, end in zip(lots, ends, ends[1:], strict=False) if begin - 0.5 < at[1] and end + 0.5 > at[0]
    }


def neighbours_of_lost(rows: dict[str, list[dict[str, Any]]], feed: str) -> dict[str, list[dict[str, Any]]]:
    """Records of the ten cells before and after one that was filled or tested later, but has no record of the step."""
    told = {row["cell_id"]: row for row in rows[feed]}
    later = ("mes__filling", "tester__formation") if feed == "mes__assembly" else ("tester__formation",)
    went_on = {row["cell_id"] for name in later for row in rows[name]}
    of_line: dict[str, list[str]] = defaultdict(list)
    lines = {machine.id: machine.line for machine in SITE.machines()}
    for row in sorted(rows["mes__stacking"], key=lambda row: (row["started_at"], row["cell_id"])):
        of_line[lines[row["machine_id"]]].append(row["cell_id"])
    return {
        cell: [told[each] for each in cells[max(0, place - 10) : place + 11] if each in told]
        for cells in of_line.values()
        for place, cell in enumerate(cells)
        if cell in went_on and cell not in told
    }


def traced(capsys: pytest.CaptureFixture[str], *wanted: Any) -> dict[str, Any]:
    tracing.trace(tracing.Wanted(*wanted), as_json=True)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_cell_is_traced_to_its_lots_and_metres(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    flipped = {row["daughter_roll_id"] for row in line.rows["mes__daughter_roll"] if row["is_flipped"]}
    cells = sorted(line.lots)[:: max(1, len(line.lots) // 2)]
    cells += [next(row["cell_id"] for row in line.rows["mes__stacking"] if row["cathode_roll_id"] in flipped)]
    for cell in cells:
        found = traced(capsys, "cell", cell)
        assert {row["id"] for row in found["reached"]["material_lot"]} == line.lots[cell]
        for roll in found["reached"]["mother_roll"]:
            assert roll["stretches_m"] == [pytest.approx(line.metres[cell, roll["id"]])]


def test_a_cell_whose_record_is_lost_counts_for_the_lots_of_its_neighbours(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = neighbours_of_lost(line.rows, "mes__assembly")
    assert lost, "this plant loses a record now and then"
    cell, beside = next(iter(lost.items()))
    found = traced(capsys, "cell", cell)["reached"]["material_lot"]
    assert {row["can_lot_id"] for row in beside} <= {row["id"] for row in found}


def test_a_lot_of_any_material_is_traced_to_its_cells(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    cells_of = line.cells_of
    of_material = {lot.rsplit("-", 1)[0]: lot for lot in sorted(cells_of)}
    assert len(of_material) == len(SITE.product.materials_kg_per_cell)
    module_of = {row["cell_id"]: row["module_id"] for row in line.rows["mes__module"]}
    for material in ("graphite", "nmp", "copper_foil", "separator", "electrolyte"):
        lot = of_material[material]
        found = traced(capsys, "lot", lot)["reached"]
        assert {row["id"] for row in found["cell"]} == cells_of[lot]
        modules = {module_of[cell] for cell in cells_of[lot] if cell in module_of}
        assert {row["id"] for row in found.get("module", [])} == modules


def test_a_lot_of_foil_that_ended_within_a_roll_is_in_its_cells_up_to_the_splice(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    splices = line.rows["mes__foil_splice"]
    assert len(splices) > 5
    of_lot, cut_apart = line.cells_of, 0
    for no, splice in enumerate(splices):
        roll = splice["mother_roll_id"]
        own = {cell for cell, mother in line.metres if mother == roll}
        sides = [of_lot[splice[lot]] & own for lot in ("ended_lot_id", "begun_lot_id")]
        assert sides[0] | sides[1] == own
        cut_apart += all(0 < len(side) < len(own) for side in sides)
        if no % 7:
            continue
        found = traced(capsys, "lot", splice["ended_lot_id"])["reached"]
        assert {row["id"] for row in found["cell"]} & own == sides[0]
        assert [None, pytest.approx(splice["at_m"])] in [
            each for row in found["mother_roll"] if row["id"] == roll for each in row["stretches_m"]
        ]
    assert cut_apart > 2


def test_the_foil_of_each_cell_is_held_against_the_truth(line: Line) -> None:
    spec = find("traceability/genealogy_passport")
    assert isinstance(spec, TraceSpec)
    foil = next(record for record in spec.records if record.table == "marts.foil_stretch")
    turned = {"into_from_m": "spliced_to_m", "into_to_m": "spliced_from_m"}
    wrong = foil.model_copy(update={"made_of": [foil.made_of[0].model_copy(update=turned)]})
    others = [record for record in spec.records if record is not foil]
    with open_tables(ModelContext(home=line.home, site=SITE), spec.table) as tables:
        right = foil_line(tables, spec, line.home)
        assert right is not None
        assert right.is_met, right.found
        broken = foil_line(tables, spec.model_copy(update={"records": [*others, wrong]}), line.home)
        assert broken is not None
        assert not broken.is_met
        without = foil_line(tables, spec.model_copy(update={"records": others}), line.home)
        assert without is None


def test_a_bad_stretch_of_a_roll_is_traced_to_the_cells_cut_from_it(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    mother = max(line.metres, key=lambda key: line.metres[key][1])[1]
    own = {cell: at for (cell, roll), at in line.metres.items() if roll == mother}
    middle = sorted(own.values())[len(own) // 2]
    bad = (middle[0] + 0.1, middle[1] + 0.1)
    found = traced(capsys, "mother_roll", mother, "went_into", *bad)
    hit = {cell for cell, at in own.items() if at[0] < bad[1] and at[1] > bad[0]}
    assert {row["id"] for row in found["reached"]["cell"]} == hit
    assert 0 < len(hit) < len(own)


@pytest.fixture(scope="module")
def of_modules(line: Line) -> tuple[Outcome, list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The night of the same graph, for modules: ten days of a small line fill no container."""
    spec = over_modules()
    outcome = night(spec, line.home)
    with reader(line.home) as con:
        answers = con.execute("SELECT * FROM solutions.module_passport").to_arrow_table().to_pylist()
        documents = con.execute("FROM solutions.module_passport_passport").fetchall()
    return outcome, answers, {name: json.loads(text) for name, text in documents}


def over_modules() -> SolutionSpec:
    spec = find("traceability/genealogy_passport")
    attributes = spec.model_dump(exclude_unset=True, exclude={"stage", "slug"})
    attributes |= {"table": "staging.stg_tester__module", "keys": ["module_id"]}
    attributes["passport"] |= {"of": "module", "parts": ["cell"]}
    return build_spec(family_of(spec), ("traceability", "module_passport"), attributes, "defs.yaml")


def night(spec: SolutionSpec, home: Home) -> Outcome:
    return solve(spec, Plant(SITE, home), parts=[PREDICTIONS], domain="test", full_search=False, actor="test")


def test_every_module_has_its_passport_and_is_held_while_a_cell_can_not_be_traced(line: Line, of_modules: Any) -> None:
    outcome, answers, passports = of_modules
    assert outcome.failure == ""
    cells: dict[str, set[str]] = defaultdict(set)
    for row in line.rows["mes__module"]:
        cells[row["module_id"]].add(row["cell_id"])
    assert answers
    assert {row["module_id"] for row in answers} == set(passports)
    for row in answers:
        own = cells[row["module_id"]]
        materials = {cell: {lot.rsplit("-", 1)[0] for lot in line.lots.get(cell, set())} - {"nmp"} for cell in own}
        complete = sum(len(each) == 12 for each in materials.values())
        assert row["value"] == pytest.approx(complete / len(own))
        assert (row["class"], row["is_flagged"]) == (
            ("complete", False) if complete == len(own) else ("incomplete", True)
        )
        passport = passports[row["module_id"]]
        assert faults_of(passport) == []
        assert set(passport["traceability"]["parts"]["cell"]) == own
        listed = {lot["id"] for material in passport["materialComposition"] for lot in material["lots"]}
        assert listed == {lot for cell in own for lot in line.lots.get(cell, set()) if not lot.startswith("nmp")}
    checks = {check.name: check.passed for check in outcome.checks}
    assert checks["valid"]
    assert checks["traced"] == all(row["class"] == "complete" for row in answers)


def test_a_complete_passport_is_issued_once(line: Line, of_modules: Any) -> None:
    again = night(over_modules(), line.home)
    assert again.failure == ""
    assert again.results[PREDICTIONS]["rows"] == 0
    with reader(line.home) as con:
        documents = dict(con.execute("FROM solutions.module_passport_passport").fetchall())
    assert {name: json.loads(text) for name, text in documents.items()} == of_modules[2]


def test_a_plant_without_a_finished_container_is_no_failure(line: Line) -> None:
    outcome = night(find("traceability/genealogy_passport"), line.home)
    assert outcome.failure == ""
    assert "no rows yet" in outcome.results[PREDICTIONS]["skipped"]
