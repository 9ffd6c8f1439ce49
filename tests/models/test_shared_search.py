"""A search that several workers share over a real PostgreSQL: no trial twice, none lost, the same best for all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from models.context import ModelContext
from models.estimators.base import Fold, Problem
from models.estimators.choose import candidates
from models.ground import asked
from models.spec import Search
from models.tuning import shared
from models.tuning.joining import join
from models.tuning.search import search
from models.tuning.shared import Board, Sharing, board_of, prune
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.home import Home
from tests.servers import SECRET

on_servers = [pytest.mark.servers, pytest.mark.slow, pytest.mark.usefixtures("on_servers")]
DEMO = Path(__file__).parents[2] / "infra" / "sites" / "demo"
SAMPLER = {"sampler": optuna.samplers.RandomSampler(seed=1)}
TRIALS = 24

# Both wait at the gate until both have everything loaded; the helper joins as soon as there is a study.
LEADER = """
import json, sys
from pathlib import Path
from models.context import ModelContext
from models.fitting import fit
from models.prepare import prepare
from models.spec import PredictiveSpec
from pipelines.lake.home import Home
spec = PredictiveSpec.model_validate_json(Path(sys.argv[1]).read_text())
ctx = ModelContext(Home(Path(sys.argv[2])), n_threads=1)
print("ready", flush=True)
sys.stdin.readline()
found = fit(spec, ctx, prepare(spec, ctx)).found
print(json.dumps({"trials": [each.number for each in found.trials], "best": found.best.value}))
"""
HELPER = """
import json, sys, time
from dataclasses import asdict
from pathlib import Path
from models.ground import asked
from models.spec import PredictiveSpec
from models.tuning.joining import join
from models.tuning.shared import board_of
from pipelines.control_plan.site import load_site
from pipelines.lake.home import Home
spec = PredictiveSpec.model_validate_json(Path(sys.argv[1]).read_text())
home, site = Home(Path(sys.argv[2])), load_site(Path(sys.argv[3]))
board = board_of(home)
with board.connected() as storage:
    print("ready", flush=True)
    sys.stdin.readline()
    while not board.under_way(storage, spec.solution):
        time.sleep(0.02)
print(json.dumps(asdict(join(spec, home, site))))
"""
HANGS = """
import sys, time
import optuna
from models.tuning import shared
board = shared.Board(sys.argv[1], heartbeat_s=1)
def objective(trial):
    print(trial.number, trial.suggest_float("x", 0, 1), flush=True)
    time.sleep(600)
with board.connected() as storage:
    study = shared.joined(sys.argv[2], storage, {"sampler": optuna.samplers.RandomSampler(seed=2)})
    shared.work(study, objective, lambda done: None, board)
"""


@contextmanager
def _process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A fresh instance; where its registry is plays no part here."""
    return Home(tmp_path / "home").ensure()


def _board(home: Home) -> Board:
    board = board_of(home)
    assert board is not None
    return Board(board.url, heartbeat_s=1)


def _trials(home: Home, name: str) -> list[Any]:
    with _board(home).connected() as storage:
        return list(optuna.load_study(study_name=name, storage=storage).trials)


def _easy(trial: Any) -> float:
    return float(trial.suggest_float("x", 0, 1))


def _nothing(_done: int) -> None:
    pass


class TestOnServers:
    pytestmark = on_servers

    def test_two_processes_share_a_search(self, home, table_file, cells, solution, tmp_path):
        budget = {"trials": TRIALS, "max_rounds": 60, "early_stopping_rounds": 10, "members": 2}
        spec = solution(table_file(cells(1600)), "regression", search=budget)
        (tmp_path / "spec.json").write_text(spec.model_dump_json())
        given = (tmp_path / "spec.json", home.root)
        with _process(HELPER, *given, DEMO) as helper, _process(LEADER, *given) as leader:
            for each in (helper, leader):
                assert each.stdout.readline() == "ready\n"
            for each in (helper, leader):
                each.stdin.write("go\n")
                each.stdin.flush()
            led, helped = json.loads(leader.stdout.read()), json.loads(helper.stdout.read())
        trials = _trials(home, helped["study"])
        finished = [each for each in trials if each.state.name in ("COMPLETE", "PRUNED")]
        done_by = Counter(each.user_attrs["worker"] for each in finished)
        assert len(done_by) == 2
        assert len(finished) == len(led["trials"]) == sum(done_by.values()) == helped["asked"] == TRIALS
        assert helped["trials"] in done_by.values()
        assert led["best"] == helped["best"] == min(each.value for each in finished if each.state.name == "COMPLETE")
        points = [json.dumps(each.params, sort_keys=True) for each in finished]
        assert len(set(points)) == TRIALS, "both drew the same points"
        with _board(home).connected() as storage:
            assert _board(home).under_way(storage, spec.solution) == [], "it was left open"

    def test_whoever_searches_alone_finds_what_one_process_finds(self, home):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(900, 4)).astype(np.float32)
        y = x[:, 0] + x[:, 1] * (x[:, 2] > 0) + rng.normal(0, 0.5, 900)
        problem, folds = Problem("regression"), [Fold(x[:600], y[:600], x[600:], y[600:])]
        learners = candidates(["lightgbm", "xgboost", "linear"], problem, 600, 4)
        budget = Search(max_rounds=40, early_stopping_rounds=5, members=2)
        own, shared_ = (
            search(learners, problem, folds, budget, trials=14, sharing=sharing)
            for sharing in (None, Sharing(_board(home), "a/b", {}))
        )
        told = ("number", "library", "state", "value", "params", "rounds")
        rows = [[{name: each.as_row()[name] for name in told} for each in found.trials] for found in (own, shared_)]
        assert rows[0] == rows[1]
        assert [each.params for each in own.members] == [each.params for each in shared_.members]

    def test_a_killed_worker_loses_its_running_trial_and_no_other(self, home):
        board = _board(home)
        with Sharing(board, "a/b", {}).opened("digest", [{}, {"x": 0.25}, {}, {}], SAMPLER) as study:
            with pytest.warns(UserWarning, match="Heartbeat"):
                study.ask()  # of one who died before his first heartbeat
            with _process(HANGS, board.url, study.study_name) as worker:
                number, point = worker.stdout.readline().split()
                worker.kill()
            assert shared.work(study, _easy, _nothing, board, lead=4) == 4
            states = Counter(each.state.name for each in study.trials)
            assert states == {"COMPLETE": 4, "FAIL": 2}
            again = [each for each in study.trials if each.system_attrs.get("failed_trial") == int(number)]
            assert [(each.state.name, each.params["x"]) for each in again] == [("COMPLETE", float(point))]

    def test_the_search_of_a_killed_leader_goes_on_and_another_one_closes_it(self, home):
        board = _board(home)
        sharing = Sharing(board, "a/b", {})
        killed = sharing.opened("digest", [{}] * 3, SAMPLER)
        first = killed.__enter__()
        first.optimize(_easy, n_trials=1)
        with sharing.opened("digest", [{}] * 3, SAMPLER) as study:
            assert study.study_name == first.study_name
            assert shared.work(study, _easy, _nothing, board, lead=3) == 2
        killed = sharing.opened("digest", [{}] * 3, SAMPLER)
        second = killed.__enter__()
        assert second.study_name != first.study_name, "a closed study is over"
        with sharing.opened("other rows", [{}] * 3, SAMPLER):
            assert shared.work(second, _easy, _nothing, board) == 0, "a worker goes on with what nobody asks any more"

    def test_old_studies_go_and_young_ones_stay(self, home):
        board = _board(home)
        with Sharing(board, "a/b", {}).opened("digest", [{}], SAMPLER) as study:
            shared.work(study, _easy, _nothing, board, lead=1)
            name = study.study_name
        assert prune(board, timedelta(days=1)) == []
        assert prune(board, timedelta(0)) == [name]
        with board.connected() as storage:
            assert optuna.get_all_study_names(storage) == []

    def test_a_worker_that_would_ask_something_else_is_refused(self, home, table_file, cells, solution):
        spec, site, board = solution(table_file(cells(400))), load_site(DEMO), _board(home)
        with pytest.raises(CellworksError, match="no search of finishing/cells is under way"):
            join(spec, home, site)
        ctx = ModelContext(home, n_threads=1)
        digest = asked(spec, ctx).digest()
        marks = {"spec": spec.model_dump_json(), "snapshot": None, "as_of": None}
        for other in (marks, marks | {"as_of": datetime(2026, 1, 20).isoformat()}):  # noqa: DTZ001
            is_same = other == marks
            with Sharing(board, spec.solution, other).opened(digest, [{}], SAMPLER):
                if is_same:
                    assert join(spec, home, site).trials == 1
                    continue
                with pytest.raises(CellworksError, match="would not ask what the search of finishing/cells asks"):
                    join(spec, home, site)

    def test_no_secret_is_in_a_study(self, home, monkeypatch):
        monkeypatch.setenv("PGPASSWORD", SECRET)
        board = _board(home)
        with Sharing(board, "a/b", {}).opened("digest", [{}], SAMPLER) as study:
            shared.work(study, _easy, _nothing, board, lead=1)
            assert SECRET not in board.url + repr(board)
            assert SECRET not in json.dumps([study.user_attrs, *(each.user_attrs for each in study.trials)])


def test_on_the_embedded_stores_a_search_is_one_processs_own(home, table_file, cells, solution):
    spec = solution(table_file(cells(400)))
    assert shared.sharing_of(spec, ModelContext(home, n_threads=1)) is None
    with pytest.raises(CellworksError, match="one process's own") as refused:
        join(spec, home, load_site(DEMO))
    assert "CELLWORKS_ENV=servers" in str(refused.value)
