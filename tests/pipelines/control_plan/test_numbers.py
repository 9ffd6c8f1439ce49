"""Numbers of control points: from the id alone, else given by site.yaml; never another's, and never changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.control_plan.errors import CellworksError, PlanError
from pipelines.control_plan.numbers import (
    LARGEST,
    numbers_to_give,
    point_no,
    refuse_clash,
    refuse_other_number,
)
from pipelines.control_plan.site import load_site
from pipelines.curation import tables
from pipelines.lake.connection import writer
from pipelines.lake.home import Home

DEMO = Path(__file__).parents[3] / "infra" / "sites" / "demo"
# Of a site with 30 times the demo's machines; both hash to 822214622, and a second hash of the one is 381763357.
EARLIER, LATER = "notcher_c51.cathode_heat_zone_um", "dehumidifier_71.rotor_fan_hz.fan1"
OWN, SECOND = 822214622, 381763357
identities = st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=60)


@given(st.text(min_size=1))
def test_a_point_number_fits_a_positive_integer_and_is_stable(identity: str) -> None:
    assert 1 <= point_no(identity) <= LARGEST
    assert point_no(identity) == point_no(identity)


def test_point_numbers_never_change() -> None:
    """Telemetry of years hangs on them; worked out once with zlib.crc32."""
    assert point_no("coater_c1.cathode_oven_zone_temp_c.zone01.side2") == 1460211040


def _few(name: str) -> int:
    """A number of few, so that many clash."""
    return point_no(name) % 40 + 1


def _numbered(names: list[str], given_numbers: dict[str, int]) -> list[tuple[str, int]]:
    return [(name, given_numbers.get(name) or _few(name)) for name in names]


@given(identities, identities)
def test_numbers_once_given_are_no_ones_else_and_stay_when_points_are_added(old: list[str], new: list[str]) -> None:
    site: dict[str, int] = {}
    for names in (old, old + [name for name in new if name not in old]):
        before = dict(_numbered(old, site))
        lacking = numbers_to_give(_numbered(names, site), site)
        assert not set(lacking) & set(site)  # what was given is never asked for anew
        alone = [name for name in names if [_few(each) for each in names].count(_few(name)) == 1]
        assert not set(lacking) & set(alone) or site  # with no clash the number is that of the id alone
        site |= lacking
        numbers = [number for _, number in _numbered(names, site)]
        assert len(set(numbers)) == len(names)
        assert all(1 <= number <= LARGEST for number in numbers)
        refuse_clash(_numbered(names, site), site)
        if names is not old:
            assert {name: number for name, number in _numbered(names, site) if name in before} == before


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_half_a_million_points_have_numbers_of_their_own(first: int) -> None:
    machines = [f"{kind}_{number}" for number in range(first, first + 2_000) for kind in ("stacker", "oven", "filler")]
    codes = ("cup_pressure_kpa", "tray_temp_c", "drive_current_a", "flow_l_min", "fan_hz", "heat_zone_um", "peak_mv")
    names = [f"{each}.{code}.head{head}" for each in machines for code in codes for head in range(1, 13)]
    assert len(names) >= 500_000
    points = [(name, point_no(name)) for name in names]
    lacking = numbers_to_give(points, {})
    numbers = {number for _, number in points} | set(lacking.values())
    assert len(numbers) == len(names)
    assert len(lacking) < 1_000  # 2^31 numbers: 58 are expected to clash
    assert numbers_to_give([(name, lacking.get(name, number)) for name, number in points], lacking) == {}


@pytest.fixture
def home(tmp_path: Path, stores: str) -> Home:
    return Home(tmp_path / "home").ensure()


@pytest.fixture
def plant(copy: Path) -> Path:
    """A site with a dehumidifier more, whose fan has the number that a notcher's point would have too."""
    _replace(copy, "ids: [dehumidifier_1..", "ids: [dehumidifier_71, dehumidifier_1..")
    return copy


def _replace(site: Path, old: str, new: str) -> None:
    path = site / "site.yaml"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def _add_notcher(site: Path) -> None:
    _replace(site, "ids: [notcher_c1..2]", "ids: [notcher_c1..2, notcher_c51]")


def _give(site: Path, numbers: dict[str, object]) -> None:
    path = site / "site.yaml"
    kept = path.read_text().split("point_numbers:")[0]
    path.write_text(kept + "point_numbers:\n" + "".join(f"  {name}: {number}\n" for name, number in numbers.items()))


def _known(home: Home, site: Path) -> dict[str, int]:
    """Numbers in the lake once curation has seen the site."""
    with writer(home, why="test") as con:
        tables.ensure(con, load_site(site))
        return dict(con.execute("SELECT control_point_id, control_point_no FROM lake.ops.control_point").fetchall())


def test_two_points_with_one_number_are_told_with_the_lines_that_mend_it(plant: Path) -> None:
    _add_notcher(plant)
    with pytest.raises(CellworksError, match="the same number") as caught:
        _ = load_site(plant).plan.points
    assert f"{EARLIER} and {LATER}, both {OWN}" in caught.value.found
    assert f"point_numbers:\n    {LATER}: {SECOND}" in caught.value.mend
    before = {point.id: point.no for point in load_site(DEMO).plan.points}
    _give(plant, load_site(plant).plan.numbers_to_give)
    after = {point.id: point.no for point in load_site(plant).plan.points}
    assert (after[EARLIER], after[LATER]) == (OWN, SECOND)
    assert {name: after[name] for name in before} == before


def test_points_of_new_machines_reach_the_lake(copy: Path, home: Home) -> None:
    before = _known(home, copy)
    _add_notcher(copy)
    after = _known(home, copy)
    assert EARLIER in after
    assert {name: after[name] for name in before} == before


def test_a_number_under_which_values_were_taken_in_is_not_changed(plant: Path, home: Home) -> None:
    assert _known(home, plant)[LATER] == OWN
    _add_notcher(plant)
    _give(plant, {LATER: SECOND})  # the older of the two is given the new number
    with pytest.raises(CellworksError, match="other numbers than the values in the lake") as caught:
        _known(home, plant)
    assert f"point_numbers:\n    {LATER}: {OWN}" in caught.value.mend
    _give(plant, {LATER: OWN})  # as the message says, and then as that of the clash says
    lacking = load_site(plant).plan.numbers_to_give
    assert list(lacking) == [EARLIER]
    _give(plant, {LATER: OWN, **lacking})
    assert _known(home, plant)[LATER] == OWN
    assert _known(home, plant)[EARLIER] == lacking[EARLIER]


def test_a_point_that_goes_may_leave_its_number_to_another() -> None:
    refuse_other_number({"press_1.force_kn": 7}, [("press_2.force_kn", 7)])


@pytest.mark.parametrize("number", [0, LARGEST + 1, "seven", 1.5])
def test_a_given_number_that_is_none_is_told_with_its_line(copy: Path, number: object) -> None:
    _give(copy, {"chiller_1.chiller_power_kw": number})
    with pytest.raises(PlanError, match="problem") as caught:
        load_site(copy)
    line = (copy / "site.yaml").read_text().splitlines().index("point_numbers:") + 2
    assert f"site.yaml:{line}: point_numbers.chiller_1.chiller_power_kw" in str(caught.value)


def test_numbers_of_points_that_are_not_there_are_refused(copy: Path) -> None:
    _give(copy, {"chiller_1.chiler_power_kw": 7})
    with pytest.raises(CellworksError, match="that there are not") as caught:
        _ = load_site(copy).plan.points
    assert "chiller_1.chiler_power_kw" in str(caught.value)
