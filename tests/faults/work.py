"""What the tests of faults kill: a process per job, forked from one that has imported everything.

So a kill meets the work and not the start of Python. A line of input is a job: `{"do", "home", "domains"}`; a line of
output its process id, the next one how it ended, as `os.waitpid` tells it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestration.environment import default_site, prepare_process

prepare_process()

import dbt.cli.main  # noqa: E402, F401 - imported before the fork
import lightgbm  # noqa: E402, F401
import mlflow  # noqa: E402, F401
import pandas as pd  # noqa: E402, F401
import xgboost  # noqa: E402, F401

from models.context import ModelContext  # noqa: E402
from models.families import Part, family_of  # noqa: E402
from models.registry.aliases import promote, recover  # noqa: E402
from models.registry.client import open_home  # noqa: E402
from models.registry.versions import aliases  # noqa: E402
from models.spec import PredictiveSpec  # noqa: E402
from orchestration.night import solve  # noqa: E402
from orchestration.own_tables import take_in_files  # noqa: E402
from orchestration.plant import Plant  # noqa: E402
from orchestration.solving import MODEL, PARTS, PREDICTIONS  # noqa: E402
from pipelines.control_plan.site import Site, load_site  # noqa: E402
from pipelines.curation.run import LAYER_DOMAINS, curate  # noqa: E402
from pipelines.lake.home import Home  # noqa: E402
from pipelines.lake.publish import published_snapshot  # noqa: E402
from tests.faults.states import counts, curated, moved  # noqa: E402

SLUG = "kept"
LOTS = 400
ACTOR = "a test of faults"
NIGHTS: dict[str, tuple[Part, ...]] = {"night": PARTS, "learn": (MODEL,), "score": (PREDICTIONS,)}


def solution(home: Home) -> PredictiveSpec:
    """A solution over the person's own file `own.csv` beside the home, whose flagged rows are held as lots."""
    content: dict[str, Any] = {
        "stage": "mine",
        "slug": SLUG,
        "question": "Is it bad?",
        "table": str(home.root.parent / "own.csv"),
        "keys": ["lot_id"],
        "features": {"select": ["x", "z"]},
        "target": {"column": "y", "positive": "bad"},
        "task": "binary",
        "search": {"trials": 2, "refit_trials": 1, "max_rounds": 30},
        "action": {"kind": "hold_lot"},
    }
    return PredictiveSpec(**content)


def _curate(home: Home, site: Site, job: dict[str, Any]) -> None:
    for layer, domains in LAYER_DOMAINS.items():
        for domain in (each for each in domains if each in job["domains"]):
            report = curate(home, site, layer=layer, domain=domain)
            assert report.is_passed, report


def _night(home: Home, site: Site, job: dict[str, Any]) -> None:
    here, parts = Plant(site, home), NIGHTS[job["do"]]
    outcome = solve(solution(home), here, parts=parts, domain=None, full_search=True, actor=ACTOR)
    assert not outcome.failure, outcome.failure + outcome.trace


def _opened(home: Home) -> tuple[PredictiveSpec, ModelContext]:
    """The solution over the lake's copy of its file; without a site, whose shadow a challenger would stay in first."""
    spec = take_in_files(solution(home), home, ACTOR)
    assert spec.domain is not None
    snapshot = published_snapshot(home, spec.domain)
    return spec, ModelContext(home=home, snapshot=snapshot, inputs_passed=True, actor=ACTOR)


def _train(home: Home, _site: Site, _job: dict[str, Any]) -> None:
    spec, ctx = _opened(home)
    family_of(spec).train(spec, ctx)


def _promote(home: Home, _site: Site, job: dict[str, Any]) -> None:
    spec, ctx = _opened(home)
    recover(home)
    if aliases(open_home(home), spec.name).get("champion") != job["version"]:
        promote(spec, ctx, family_of(spec).judge(spec, ctx, job["version"]))


def _open(home: Home, _site: Site, _job: dict[str, Any]) -> None:
    open_home(home)


def _state(home: Home, _site: Site, job: dict[str, Any]) -> None:
    match job["of"]:
        case "curate":
            state: dict[str, Any] = curated(home)
        case "promote":
            state = moved(home, solution(home))
        case _:
            state = counts(home, solution(home), job.get("lots", LOTS))
    Path(job["into"]).write_text(json.dumps(state), encoding="utf-8")


WORK: dict[str, Callable[[Home, Site, dict[str, Any]], None]] = {
    "curate": _curate,
    "open": _open,
    "promote": _promote,
    "state": _state,
    "train": _train,
    **dict.fromkeys(NIGHTS, _night),
}


def do(job: dict[str, Any], site: Site) -> int:
    """Do a job in this process, which ends by `os._exit`; 0, or 1 after its error was printed."""
    os.environ["CELLWORKS_HOME"] = job["home"]
    try:
        WORK[job["do"]](Home(Path(job["home"])), site, job)
    except Exception:  # noqa: BLE001 - whatever it was, whoever waits reads it in the log
        traceback.print_exc()
        return 1
    return 0


def serve() -> None:
    """Do the jobs of standard input until it ends."""
    site = load_site(default_site())
    out = os.dup(1)
    os.dup2(2, 1)  # what a job prints is no answer
    os.write(out, b"ready\n")
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os._exit(do(json.loads(line), site))
        os.write(out, f"{pid}\n".encode())
        os.write(out, f"{os.waitpid(pid, 0)[1]}\n".encode())


if __name__ == "__main__":
    serve()
