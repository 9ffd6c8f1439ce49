"""A site that inherits: what is merged by which rule, and that a mistake is told where it lies."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from pipelines.control_plan.errors import PlanError
from pipelines.control_plan.site import Site, load_site
from pipelines.twin.graph import load_graph

SITES = Path(__file__).parents[3] / "infra" / "sites"


@pytest.fixture
def sites(tmp_path: Path) -> Path:
    """The sites folder with the demo alone."""
    shutil.copytree(SITES / "demo", tmp_path / "sites" / "demo")
    return tmp_path / "sites"


def _child(sites: Path, text: str, *, base: str = "../demo", name: str = "child") -> Path:
    folder = sites / name
    folder.mkdir()
    (folder / "site.yaml").write_text(f"inherits: {base}\nname: {name}\n{text}")
    return folder


def _plan(folder: Path, *rows: str) -> None:
    header = (folder.parent / "demo" / "control_plan.csv").read_text().splitlines()[0]
    (folder / "control_plan.csv").write_text("\n".join([header, *rows]) + "\n")


def _refused(folder: Path) -> str:
    with pytest.raises(PlanError) as caught:
        load_site(folder)
    return str(caught.value)


def test_north_is_the_demo_but_for_what_it_says(site: Site) -> None:
    north = load_site(SITES / "north")
    assert (north.name, north.operators_per_shift, len(north.machines("stacker"))) == ("north", 10, 5)
    assert north.tariff.periods != site.tariff.periods
    assert north.cost_rates.labour_usd_per_operator_h == 14.5
    assert north.cost_rates.depreciation_usd_per_day == site.cost_rates.depreciation_usd_per_day
    assert [row.code for row in north.plan.rows] == [row.code for row in site.plan.rows]
    assert north.feeds == site.feeds
    assert north.hash != site.hash
    assert north.file("twin.yaml") == SITES / "demo" / "twin.yaml"
    assert load_graph(north).nodes.keys() == load_graph(site).nodes.keys()
    assert load_site(SITES / "north") is north


def test_what_changes_in_the_base_changes_the_site(sites: Path) -> None:
    child = _child(sites, "")
    before = load_site(child)
    base = sites / "demo" / "site.yaml"
    base.write_text(base.read_text().replace("operators_per_shift: 12", "operators_per_shift: 13"))
    after = load_site(child)
    assert (before.operators_per_shift, after.operators_per_shift) == (12, 13)
    assert before.hash != after.hash


@pytest.mark.parametrize("is_child", [True, False])
def test_a_site_that_did_not_change_is_not_worked_out_again(sites: Path, is_child: bool) -> None:
    folder = _child(sites, "") if is_child else sites / "demo"

    def cpu_s(times: int) -> float:
        begun = time.process_time()
        for _ in range(times):
            load_site(folder)
        return time.process_time() - begun

    first = cpu_s(1)
    assert cpu_s(10) < first


def test_maps_merge_lists_are_replaced_and_null_removes(sites: Path) -> None:
    child = load_site(
        _child(
            sites,
            "schedules: {weekly_search: null, nightly: '0 9 * * *'}\n"
            "shifts: [{code: day, starts_at: '06:00'}, {code: night, starts_at: '18:00'}]\n",
        )
    )
    assert child.schedules == {"plant_day": "30 6 * * *", "nightly": "0 9 * * *", "maintenance": "0 4 * * *"}
    assert [shift.code for shift in child.shifts] == ["day", "night"]


def test_rows_of_the_plan_are_overridden_by_their_code(sites: Path, site: Site) -> None:
    row = next(
        line for line in (sites / "demo" / "control_plan.csv").read_text().splitlines() if ",lfp,d50_um," in line
    )
    child = _child(sites, "")
    _plan(child, row.replace(",1.2,0.8,1.6,", ",1.3,0.9,1.6,"))
    rows = {each.code: each for each in load_site(child).plan.rows}
    assert (rows["lfp_d50_um"].nominal, rows["lfp_d50_um"].lsl) == (1.3, 0.9)
    assert list(rows) == [each.code for each in site.plan.rows]


def test_a_grandchild_sees_all_above_it(sites: Path) -> None:
    _child(sites, "operators_per_shift: 9\ntitle: middle\n", name="middle")
    last = load_site(_child(sites, "title: last\n", base="../middle", name="last"))
    assert (last.title, last.operators_per_shift, last.enterprise) == ("last", 9, "cellworks")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("operators_per_shift: 0\n", "site.yaml:3: operators_per_shift"),
        ("colour: red\n", "site.yaml:3: colour: is not a known name"),
        ("\ntariff: {demand_usd_per_kw_month: cheap}\n", "site.yaml:4: tariff.demand_usd_per_kw_month"),
        ("colour: null\n", "site.yaml:3: colour: there is nothing to remove"),
        ("tariff: []\n", "site.yaml:3: tariff: expected a mapping as the inherited site has, found a list"),
        ("shifts: {}\n", "site.yaml:3: shifts: expected a list as the inherited site has, found a mapping"),
        ("title: a\ntitle: b\n", "site.yaml:4: not valid YAML: key 'title' is given twice"),
        ("enterprise: null\n", "site.yaml:3: enterprise: is missing"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_field(sites: Path, text: str, told: str) -> None:
    assert f"  {told}" in _refused(_child(sites, text))


def test_a_mistake_of_the_base_is_told_in_the_base(sites: Path) -> None:
    base = sites / "demo" / "site.yaml"
    base.write_text(base.read_text().replace("operators_per_shift: 12", "operators_per_shift: none"))
    line = base.read_text().splitlines().index("operators_per_shift: none") + 1
    assert f"  ../demo/site.yaml:{line}: operators_per_shift" in _refused(_child(sites, "title: x\n"))


def test_a_wrong_row_is_told_in_the_file_that_has_it(sites: Path) -> None:
    child = _child(sites, "")
    _plan(child, "incoming,lfp,no_such,null" + "," * 24)
    assert "  control_plan.csv:2: type: no 'lfp_no_such' to remove" in _refused(child)
    row = next(
        line for line in (sites / "demo" / "control_plan.csv").read_text().splitlines() if ",lfp,d50_um," in line
    )
    _plan(child, "", row.replace(",1.2,0.8,1.6,", ",1.2,high,1.6,"))
    assert "  control_plan.csv:3: lsl" in _refused(child)


@pytest.mark.parametrize("base", ["../../elsewhere", "/etc", "demo", "../child", "..", "../none", "[a]", "../demo/.."])
def test_a_base_lies_beside_the_site(sites: Path, base: str) -> None:
    shutil.copytree(sites / "demo", sites.parent / "elsewhere")
    assert "  site.yaml:1: inherits: " in _refused(_child(sites, "", base=base))


def test_a_link_out_of_the_folder_is_refused(sites: Path) -> None:
    shutil.copytree(sites / "demo", sites.parent / "elsewhere")
    (sites / "link").symlink_to(sites.parent / "elsewhere")
    assert "lies outside" in _refused(_child(sites, "", base="../link"))


def test_a_circle_is_refused(sites: Path) -> None:
    _child(sites, "", base="../two", name="one")
    _child(sites, "", base="../one", name="two")
    assert "../two/site.yaml:1: inherits: a circle" in _refused(sites / "one")


def test_two_sites_of_one_name_are_refused(sites: Path) -> None:
    folder = _child(sites, "")
    (folder / "site.yaml").write_text("inherits: ../demo\n")
    assert "site.yaml:1: name: is missing; give the site a name of its own" in _refused(folder)
    (folder / "site.yaml").write_text("inherits: ../demo\nname: demo\n")
    assert "site.yaml:2: name: 'demo' is the name of the site that is inherited" in _refused(folder)
