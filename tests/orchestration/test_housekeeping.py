"""Jobs without assets, executed as the daemon would."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread

import dagster as dg
import pytest

from orchestration.deliveries import delivered
from orchestration.housekeeping import housekeeping_jobs
from orchestration.jobs import PLANT_DAY
from orchestration.plant import Plant, plant
from orchestration.sensors import platform_sensors
from orchestration.sensors.marks import read_cursor, write_cursor
from pipelines.twin.simulate import simulate
from pipelines.twin.state import peek

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::dagster.BetaWarning")]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """A small plant after its first day."""
    monkeypatch.setenv("CELLWORKS_HOME", str(tmp_path / "home"))
    here = plant()
    simulate(here.site, here.home.ensure(), days=1, scale=0.05)
    return here


class Watch:
    """Ticks of `new_data` again and again while a block runs: what they started, and why they did not."""

    def __init__(self, here: Plant, instance: dg.DagsterInstance) -> None:
        self.started: list[str] = []
        self.skipped: list[str] = []
        self._here = here
        self._instance = instance
        self._cursor = write_cursor({"delivered": delivered(here)})
        self._is_over = Event()
        self._thread = Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        sensor = platform_sensors(self._here.site, [])[0]
        while not self._is_over.wait(0.05):
            told = sensor(dg.build_sensor_context(instance=self._instance, cursor=self._cursor))
            if isinstance(told, dg.SkipReason):
                self.skipped.append(told.skip_message or "")
            else:
                self.started.append(read_cursor(told.cursor)["delivered"])


def test_the_plant_day_delivers_the_next_day_and_nothing_starts_on_half_of_it(small: Plant, tmp_path: Path) -> None:
    before = peek(small.home)
    [job] = [job for job in housekeeping_jobs() if job.name == PLANT_DAY]
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance, Watch(small, instance) as watch:
        assert job.execute_in_process(instance=instance).success
    after = peek(small.home)
    assert (before.next_day, after.next_day) == (1, 2)
    assert any(PLANT_DAY in reason for reason in watch.skipped), "the job holds the home's run lock"
    # A last tick may come between the end of the delivery and the end of the job: then the whole day is there.
    assert set(watch.started) <= {delivered(small)}
