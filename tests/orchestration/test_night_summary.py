"""The night as a person reads it, on a narrow terminal: figures, verdicts with reasons, where to look next."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from orchestration.cli.night_summary import night_summary, show_commands, show_night
from orchestration.plant import plant
from tests.servers import NOBODYS

MODEL: dict[str, Any] = {
    "library": "lightgbm", "trials": 25, "version": "3", "metric_name": "roc_auc", "metric_value": 0.8531,
    "metric_low": 0.8214, "metric_high": 0.8799, "baseline_name": "lot mean", "baseline_value": 0.44,
    "monitoring": {"inputs_drifted": "bearing_temp_c_mean"},
}  # fmt: skip
RESULT: dict[str, Any] = {
    "success": True,
    "run_id": "1cdc4e20-0000",
    "seconds": 187.4,
    "rows": {"in": 32_412_345, "telemetry": 30_100_000, "quarantined": 118, "files_quarantined": 1},
    "checks_passed": 214,
    "checks_failed": 2,
    "failed_checks": [
        {"asset": "raw/tester__grading", "check": "expectations", "blocking": True, "why": "values in range: 31"},
        {"asset": "energy/conversion_cost/model", "check": "beats_baseline", "blocking": False, "why": ""},
    ],
    "models": [
        MODEL
        | {
            "solution": "equipment/predictive_maintenance",
            "alias": "champion",
            "promotion": "version 3 passed every gate on 73168 later rows: there is no champion yet",
            "graduation": "",
            "predictions": {"rows": 8640, "actions": 21, "held_back": "4 held back: the day is full", "skipped": ""},
        },
        MODEL
        | {
            "solution": "energy/conversion_cost",
            "alias": "challenger",
            "promotion": "version 3 not promoted, because the gain over table is -0.025 (95 % -2.5 to 0.69)",
            "graduation": "champion after its nights in the shadow: version 2 passed every gate",
            "predictions": {"rows": 0, "actions": 0, "held_back": "", "skipped": "there is no champion yet"},
        },
    ],
    "rules": [
        {"solution": "finishing/grading", "version": "rule-0123abcd", "rows": 512, "actions": 3, "held_back": ""},
    ],
    "failed_steps": {},
}


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setenv("CELLWORKS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    here = plant()
    show_night(here, night_summary(here, RESULT))
    return capsys.readouterr().out


def test_what_a_solution_waits_for_is_told_line_by_line(shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    here = plant()
    waits = {"stage": "incoming", "slug": "material_lot_risk", "state": "working", "reason": "labels\n  mend: wait"}
    show_night(here, night_summary(here, RESULT) | {"solutions": [waits]})
    told = _plain(capsys.readouterr().out)
    assert "  incoming/material_lot_risk  waiting: labels" in told
    assert "\n    mend: wait" in told
    assert "\\n" not in told


def test_on_servers_the_pages_are_where_the_servers_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in NOBODYS.items():
        monkeypatch.setenv(name, value)
    show_commands()
    told = " ".join(_plain(capsys.readouterr().out).split())
    assert "cellworks services status" in told
    assert "cellworks ui" not in told


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize(
    "said",
    [
        "Night done in 3 min 7 s",
        "rows in 32,412,345 (30,100,000 of them telemetry), quarantined 118, and 1 whole file (why:",
        "quarantine list",
        "checks passed 214, failed 2, of these blocking 1",
        "✗ raw/tester__grading expectations: values in range: 31",
        "energy/conversion_cost: beats_baseline",
        "equipment/predictive_maintenance version 3 (lightgbm, 25 trials)",
        "roc_auc 0.8531 [0.8214, 0.8799] beside 0.44 of the naive baseline (lot mean)",
        "promoted to champion: version 3 passed every gate",
        "finishing/grading rule-0123abcd predictions written 512, actions proposed 3",
        "the version in the shadow: champion after its nights in the shadow",
        "not promoted, because the gain over table is -0.025",
        "predictions written 8,640, actions proposed 21; 4 held back: the day is full",
        "no predictions: there is no champion yet",
        "drifted since training: bearing_temp_c_mean",
        "finishing/yield_root_cause never run",
        "OEE - not known yet",
        "conversion cost - not known yet",
        "cellworks ui dagster",
        "cellworks ui mlflow",
    ],
)
def test_the_summary_says_what_a_person_wants_to_know(said: str, shown: str) -> None:
    assert said in " ".join(_plain(shown).split())


def test_nothing_is_wider_than_the_terminal_or_broken_within_a_word(shown: str) -> None:
    lines = _plain(shown).splitlines()
    assert max(len(line) for line in lines if "CELLWORKS_HOME" not in line and "/" not in line) <= 80
    assert any(line.startswith("    version 3 not promoted") for line in lines)
