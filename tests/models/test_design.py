"""The virtual cell: its stack is the domain's reference design, its physics has the right signs, its search helps."""

from __future__ import annotations

import numpy as np
import pytest

from models.optimizer.cell_design import chosen, search_designs
from models.optimizer.cell_physics import DESIGN, FIGURES, Stack, basis_of, figures_of
from models.optimizer.design_spec import CellDesign
from orchestration.environment import default_site
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.product import Product
from pipelines.control_plan.site import load_site
from pipelines.optimizers.runs import Floats


@pytest.fixture(scope="module")
def product() -> Product:
    return load_site(default_site()).product


def today(product: Product) -> dict[str, float]:
    return {name: product.design[name] for name in DESIGN}


def test_the_stack_of_the_reference_design_is_that_of_the_domain(product: Product) -> None:
    """186 cathodes of 86 um, 60 um and 95.6 g/m2 of anode at N/P 1.10, porosities 0.30 and 0.28."""
    basis = basis_of(product, 1.0, 1.0, 62.5, 0.1)
    stack = Stack.of(today(product), basis)
    assert stack.sheets == product.cathode_sheets == 186
    assert stack.cathode_um == pytest.approx(86, abs=0.5)
    assert stack.anode_um == pytest.approx(60, abs=0.5)
    assert stack.anode_g_m2 == pytest.approx(95.6, rel=0.002)
    assert stack.cathode_porosity == pytest.approx(0.30, abs=0.01)
    assert stack.anode_porosity == pytest.approx(0.28, abs=0.01)
    assert stack.mass_kg(product.nominal_capacity_ah, basis) == pytest.approx(product.design["cell_mass_kg"], rel=0.02)


def test_physics_has_the_right_signs(product: Product) -> None:
    basis = basis_of(product, 1.0, 1.0, 62.5, 0.1)
    changes: list[dict[str, float]] = [{}, {"negative_positive_ratio": 1.2}, {"cathode_density_g_cm3": 3.7}]
    plain, wide, solid = (dict(each) for each in figures_of([today(product) | one for one in changes], basis))
    # A rated cell delivers nearly what it is rated at; diffusion keeps the rest at this rate.
    assert 0.85 < plain["capacity_ah"] / product.nominal_capacity_ah < 1.0
    assert plain["energy_wh"] == pytest.approx(plain["capacity_ah"] * 3.2, rel=0.03)
    assert plain["dcir_mohm"] > 0.1
    assert wide["capacity_ah"] < plain["capacity_ah"]  # a thicker anode takes room from the cathode
    assert np.isnan(solid["capacity_ah"])  # denser than its material: no such cell


def test_what_the_product_does_not_say_is_told(product: Product) -> None:
    poor = product.model_copy(update={"design": {"sheet_length_mm": 560.0}})
    with pytest.raises(CellworksError, match="lacks numbers"):
        basis_of(poor, 1.0, 1.0, 62.5, 0.1)


KIND = CellDesign.model_validate(
    {
        "kind": "cell_design",
        "vary": [{"of": "cathode_areal_weight_g_m2", "low": 160, "high": 280, "step": 2}],
        "improve": {"of": "energy_wh"},
        "keep": [{"of": "dcir_mohm", "at_most": 1.1}],
        "cathode_capacity": "a",
        "anode_capacity": "b",
        "known_at": "c",
        "stack_room_mm": 62.5,
        "contact_mohm": 0.1,
        "runs": 12,
    }
)


def by_hand(designs: Floats) -> Floats:
    """More energy with the loading, and a resistance that keeps its limit up to 231 g/m2; no such cell at 160."""
    figures = np.ones((len(designs), len(FIGURES)))
    figures[:, FIGURES.index("energy_wh")] = designs[:, 0]
    figures[:, FIGURES.index("dcir_mohm")] = designs[:, 0] / 210
    figures[designs[:, 0] <= 162] = np.nan
    return figures


def test_the_search_finds_the_edge_of_what_is_allowed_and_works_out_no_more_than_it_may() -> None:
    start = np.array([210.0, 2.45, 1.6, 1.1])
    found = search_designs(KIND, start, by_hand, lambda settings: settings[:, 0] < 250, 3)
    assert len(found.designs) == KIND.runs
    assert (found.designs[0] == start).all()
    assert (found.designs[:, 1:] == start[1:]).all()
    best = found.designs[found.best, 0]
    assert 226 <= best <= 231
    assert (found.designs[:, 0] < 250).all()
    assert chosen(KIND, by_hand(np.array([start, start - [40, 0, 0, 0]]))) == 0


def test_a_search_ends_where_nothing_is_left_to_work_out() -> None:
    start = np.array([210.0, 2.45, 1.6, 1.1])
    found = search_designs(KIND, start, by_hand, lambda settings: settings[:, 0] == 200, 3)
    assert len(found.designs) < KIND.runs
