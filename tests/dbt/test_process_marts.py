"""Marts of the web across and of mixing while it goes on: one row for each lip and moment, labels only when told."""

from __future__ import annotations

import pandas as pd

from pipelines.lake.connection import reader
from pipelines.lake.home import Home


def _mart(home: Home, name: str) -> pd.DataFrame:
    with reader(home) as con:
        return con.execute(f"SELECT * FROM lake.marts.{name}").df()


def test_each_coated_roll_has_all_lips_of_its_die(home: Home) -> None:
    web, rolls = _mart(home, "web_profile"), _mart(home, "mother_roll").set_index("mother_roll_id")
    assert (web.groupby("mother_roll_id")["lip_no"].agg(["nunique", "size"]) == 24).all(axis=None)
    assert set(web["mother_roll_id"]) == set(rolls.index)
    assert (web["coater_id"] == rolls.loc[web["mother_roll_id"], "coater_id"].to_numpy()).all()
    assert web.groupby("die_bolt_id")[["coater_id", "lip_no"]].nunique().eq(1).all(axis=None)
    assert web["die_bolt_id"].nunique() == 48


def test_a_moments_label_is_the_plans_limit_and_comes_hours_later(home: Home) -> None:
    moments = _mart(home, "mixing_moment")
    told = moments[moments["label_known_at"].notna()]
    limit = told["electrode_code"].map({"cathode": 20.0, "anode": 30.0})
    assert (told["is_dispersed"].astype(bool) == (told["sample_fineness_um"] <= limit)).all()
    late = told["label_known_at"] - told["moment_at"]
    assert late.between(pd.Timedelta(hours=2), pd.Timedelta(hours=8)).all()
    untold = moments[moments["label_known_at"].isna()]
    assert untold["is_dispersed"].isna().all()
    assert untold["sample_fineness_um"].isna().all()


def test_the_powders_surface_is_that_of_the_batchs_lot(home: Home) -> None:
    moments, lots = _mart(home, "mixing_moment"), _mart(home, "material_lot").set_index("material_lot_id")
    own = lots.loc[moments["active_material_lot_id"]]
    surface = own["lfp_bet_m2_g"].fillna(own["graphite_bet_m2_g"]).to_numpy()
    known = moments["active_bet_m2_g"].notna()
    assert known.mean() > 0.9
    assert (moments.loc[known, "active_bet_m2_g"] == surface[known]).all()


def test_the_stretches_of_foil_follow_each_other_from_the_lot_that_the_roll_names(home: Home) -> None:
    foil, rolls = _mart(home, "foil_stretch"), _mart(home, "mother_roll").set_index("mother_roll_id")
    with reader(home) as con:
        splices = con.execute("SELECT * FROM lake.staging.stg_mes__foil_splice").df()
    first = foil[foil["stretch_no"] == 1].set_index("mother_roll_id")
    assert first["foil_lot_id"].sort_index().equals(rolls["foil_lot_id"].sort_index())
    assert len(foil) == len(rolls) + len(splices)
    assert len(splices) > 5
    after = foil[foil["stretch_no"] == 2].set_index("mother_roll_id").loc[splices["mother_roll_id"]]
    assert (after["foil_lot_id"].to_numpy() == splices["begun_lot_id"]).all()
    assert (after["spliced_from_m"].to_numpy() == splices["at_m"]).all()
    assert (first.loc[splices["mother_roll_id"], "spliced_to_m"].to_numpy() == splices["at_m"]).all()
    assert after["spliced_to_m"].isna().all()
    # Every roll that follows one with a splice begins with the lot that was spliced on.
    assert set(splices["begun_lot_id"]) - set(rolls["foil_lot_id"]) <= {splices["begun_lot_id"].max()} | {
        splices[splices["electrode_code"] == "cathode"]["begun_lot_id"].max()
    }
