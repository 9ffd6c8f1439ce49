"""The page of the public data sets: made of its JSON, as the YAMLs say, with the peer beside ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestration.benchmarks import page
from orchestration.benchmarks.outcome import Measured, Outcome, Table, over_draws
from orchestration.benchmarks.spec import Benchmark, Measure, benchmarks

ROOT = Path(__file__).parents[2]
BY_NAME = {each.data: each for each in benchmarks()}


def test_the_page_is_what_its_json_says() -> None:
    told = json.loads((ROOT / "docs" / page.JSON).read_text(encoding="utf-8"))
    assert (ROOT / "docs" / page.PAGE).read_text(encoding="utf-8") == page.page(told)
    files = {picture["file"] for each in told["sets"] for picture in each["pictures"]}
    drawn = list((ROOT / "docs" / page.IMAGES).iterdir())
    assert {file.name for file in drawn} == files
    assert [file.name for file in drawn if file.stat().st_size > 100_000] == []


def test_the_page_shows_every_data_set_as_its_yaml_says_it() -> None:
    told = json.loads((ROOT / "docs" / page.JSON).read_text(encoding="utf-8"))
    asked = {
        (each.data, f"{one.title}, {round_.label}" if round_.label else one.title): (one.must, one.floor, one.published)
        for each in BY_NAME.values()
        for round_ in each.rounds(quick=told["is_quick"])
        for one in round_.measures
        if not told["is_quick"] or "seed" not in one.title
    }
    shown = {
        (row["data"], row["metric"]): (
            tuple(row["must"]) if isinstance(row["must"], list) else row["must"],
            row["floor"],
            row["published"],
        )
        for row in told["results"]
    }
    assert shown == asked


def measured() -> tuple[Benchmark, Measured]:
    """A data set as if it had been measured."""
    benchmark = next(iter(BY_NAME.values())).model_copy(update={"data": "made", "beside": []})
    (wanted, *_) = benchmark.measures
    figure = over_draws([0.5, 0.6, 0.7] * 4, "splits")
    table = Table("Each", ("what", "rate", "delay"), (("a", 0.12345, None), ("b", 1.0, 7)), "A note.")
    outcome = Outcome({wanted.title: figure}, 1.0, 1.0, ("linear",) * 12, (table,))
    row = {
        "data": "made",
        "metric": wanted.title,
        "value": figure.value,
        "low": figure.low,
        "high": figure.high,
        "values": list(figure.values),
        "over": figure.over,
        **dict.fromkeys(("floor", "published", "must", "met", "aim", "aim_met", "rows_low", "rows_high")),
        "better": "higher",
        "cpu_s": 1.0,
        **dict.fromkeys(("floor_is", "source", "note"), ""),
    }
    return benchmark, Measured([row], {"": outcome})


def test_a_page_is_rendered_again_without_measuring_and_with_the_peer(tmp_path: Path) -> None:
    found = {"made": measured()}
    (row,) = found["made"][1].rows
    machine = json.loads((ROOT / "docs" / page.JSON).read_text(encoding="utf-8"))["machine"]
    told = page.document(found, machine=machine, minutes=0.1, is_quick=True)
    page.draw(found, tmp_path / "docs")
    page.write(told, tmp_path / "docs")
    before = (tmp_path / "docs" / page.PAGE).read_text(encoding="utf-8")
    assert "| a | 0.1235 | - |" in before
    (picture,) = told["sets"][0]["pictures"]
    assert (tmp_path / "docs" / page.IMAGES / picture["file"]).is_file()
    own = peer_row("made", row["metric"], row["values"][:2])
    peer = {"name": "P", "note": "N", "rows": [own, peer_row("gone", "f1", [1.0])]}
    (tmp_path / "peer.json").write_text(json.dumps(peer), encoding="utf-8")
    beside = page.with_peer(told, tmp_path / "peer.json")
    assert page.page(page.with_peer(beside, tmp_path / "none.json")) == before
    assert [each["ours"] for each in beside["peer"]["rows"]] == [pytest.approx(0.55)]
    assert "## A peer: P" in page.page(beside)


def peer_row(data: str, metric: str, values: list[float]) -> dict[str, Any]:
    return {"data": data, "metric": metric, "learnt_from": "t", "values": values, "cpu_s": 1.0, "chosen": "rf"}


def test_equal_pictures_are_equal_files(tmp_path: Path) -> None:
    from orchestration.benchmarks.pictures import by_split

    for name in ("a.png", "b.png"):
        by_split([0.1, 0.2], Measure(name="f1", floor=0.15, must=0.2), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
