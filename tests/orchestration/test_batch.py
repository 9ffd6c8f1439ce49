"""Solutions of one batch can't hurt each other: one hangs, one dies, the third has its night."""

from __future__ import annotations

import multiprocessing
import os
import signal
from threading import Thread

import pytest

from models.families import family_of
from orchestration.batch import Task, in_order, run_nights
from orchestration.catalogue import find
from orchestration.cli.status import status
from pipelines.lake.connection import THREADS_VARIABLE
from tests.orchestration.conftest import Workshop, write_rule

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::dagster.BetaWarning")]  # of Dagster's own making
# A rule over a file of two rows takes a second; the one that hangs makes the test last as long.
LIMIT_S = 8.0


def _send(to: str, number: signal.Signals) -> None:
    """Send a signal to the process of a solution as soon as it is there."""
    while True:
        for child in multiprocessing.active_children():
            if child.name == to and child.pid is not None:
                os.kill(child.pid, number)
                return


@pytest.mark.faults
def test_one_that_hangs_or_dies_is_ended_alone_and_told(workshop: Workshop) -> None:
    write_rule(workshop.tables, workshop.here.home.root)
    specs = [find(f"mine/{slug}") for slug in ("one", "two", "graded")]
    tasks = [Task(spec, family_of(spec).parts, None, full_search=True, actor="test") for spec in specs]
    senders = [
        Thread(target=_send, args=("mine/one", signal.SIGSTOP), daemon=True),
        Thread(target=_send, args=("mine/two", signal.SIGKILL), daemon=True),
    ]
    for sender in senders:
        sender.start()
    found = {task.spec.slug: outcome.failure for task, outcome in run_nights(tasks, LIMIT_S)}
    assert list(found) == ["one", "two", "graded"]
    assert "took longer than 8 s (solution_time_limit_s of site.yaml) and was ended" in found["one"]
    assert "its process ended by signal SIGKILL before its night was over" in found["two"]
    assert found["graded"] == ""
    told = {each["slug"]: (each["state"], each["rows_scored"]) for each in status(workshop.here)["solutions"]}
    assert (told["one"], told["two"], told["graded"]) == (("failing", 0), ("failing", 0), ("working", 2))
    assert not multiprocessing.active_children()


def test_whoever_leaves_early_leaves_no_process_behind(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS_VARIABLE, "2")
    Thread(target=_send, args=("mine/two", signal.SIGSTOP), daemon=True).start()
    specs = [find(f"mine/{slug}") for slug in ("one", "two")]
    nights = run_nights([Task(spec, family_of(spec).parts, None, True, "test") for spec in specs], 60.0)
    _, outcome = next(nights)
    assert outcome.failure == ""
    assert [child.name for child in multiprocessing.active_children()] == ["mine/two"], "it hangs beside the first"
    nights.close()
    assert not multiprocessing.active_children()


def test_whoever_asks_others_for_their_champions_follows_them() -> None:
    asks, rate, stranger, solvent = ("dryer_optimizer", "dryer_rate", "coating_defects", "dryer_solvent")
    names = [f"electrode/{slug}" for slug in (asks, rate, stranger, solvent)]
    tasks = [Task(find(name), (), None, full_search=False, actor="test") for name in names]
    assert [task.spec.slug for task in in_order(tasks)] == [rate, stranger, solvent, asks], "the others stay in place"
    assert [task.spec.slug for task in in_order(tasks[:1])] == [asks], "whom it asks may have no night"
