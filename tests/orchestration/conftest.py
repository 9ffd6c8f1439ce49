"""The command line over an empty instance of its own, and a small instance for jobs and sensors."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
import yaml

from models.spec import PredictiveSpec
from orchestration.catalogue import find
from orchestration.cli.main import main
from orchestration.environment import SITE_VARIABLE
from orchestration.plant import Plant, plant
from orchestration.solving import PARTS
from pipelines.lake.schemas import bootstrap

if TYPE_CHECKING:  # most tests here need no Dagster, and importing it takes a second
    import dagster as dg

ROOT = Path(__file__).parents[2]


class Told(NamedTuple):
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """The command line in this process, for what needs no Dagster; starting one takes seconds."""
    monkeypatch.setenv("CELLWORKS_HOME", str(tmp_path / "home"))
    # `--site` sets it for the process; this takes it away again after the test.
    monkeypatch.setenv(SITE_VARIABLE, "")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Told:
        monkeypatch.setattr(sys, "argv", ["cellworks", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capfd.readouterr()
        return Told(int(left.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def cellworks(tmp_path: Path, parsed: Callable[[Path], Path]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line as a process."""
    parsed(tmp_path / "home")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from orchestration.cli.main import main; main()", *arguments],
            env={**os.environ, "CELLWORKS_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return run


def own_rows(rows: int, first: int = 0, shift: float = 0.0) -> pa.Table:
    """Rows of a machine's table: two causes of a bad part; `shift` moves both as a drift would."""
    rng = np.random.default_rng(first)
    x, z = rng.normal(shift, 1, rows), rng.normal(shift, 1, rows)
    bad = x + 0.8 * z + rng.normal(0, 0.7, rows) > 2 * shift
    return pa.table({"id": first + np.arange(rows), "x": x, "z": z, "y": np.where(bad, "bad", "good")})


def write_solution(folder: Path, slug: str, rows: pa.Table) -> None:
    """Write `mine/<slug>` over its own CSV file."""
    file = folder / f"{slug}.csv"
    pacsv.write_csv(rows, file)
    attributes = {
        "question": "Is it bad?",
        "table": str(file),
        "keys": ["id"],
        "features": {"select": ["x", "z"]},
        "target": {"column": "y", "positive": "bad"},
        "task": "binary",
        "search": {"trials": 2, "refit_trials": 1, "max_rounds": 30},
    }
    home = folder / "home" / "solutions" / "mine" / slug
    home.mkdir(parents=True, exist_ok=True)
    content = {"type": "orchestration.components.PredictiveModel", "attributes": attributes}
    (home / "defs.yaml").write_text(yaml.safe_dump(content))


def write_rule(folder: Path, home: Path) -> None:
    """Write `mine/graded`, a rule over a file of two rows, whose night takes a second."""
    pacsv.write_csv(pa.table({"id": ["C1", "C2"], "capacity_ah": [1180.0, 1100.0]}), folder / "graded.csv")
    grading = {"grades": [{"name": "A", "limits": {"capacity_ah": {"at_least": 1175}}}], "otherwise": "C"}
    attributes = {
        "question": "Which class?",
        "table": str(folder / "graded.csv"),
        "keys": ["id"],
        "grading": {**grading, "flagged": ["C"]},
    }
    place = home / "solutions" / "mine" / "graded"
    place.mkdir(parents=True)
    (place / "defs.yaml").write_text(
        yaml.safe_dump({"type": "orchestration.components.DecisionRule", "attributes": attributes})
    )


class Workshop:
    """The instance, its definitions, and jobs run in this process."""

    def __init__(self, here: Plant, tables: Path, instance: dg.DagsterInstance) -> None:
        self.here = here
        self.instance = instance
        self.tables = tables
        # The whole graph needs dbt's manifest; these solutions read tables of their own.
        from orchestration.assembly import build_definitions

        self.definitions = build_definitions(here, tables=[])

    def spec(self, slug: str) -> PredictiveSpec:
        """One of the two solutions."""
        return find(f"mine/{slug}")

    def reopened(self) -> Workshop:
        """The same instance after its solutions were edited."""
        return Workshop(self.here, self.tables, self.instance)

    def run(self, job: str, request: dg.RunRequest | None = None, **options: Any) -> dg.ExecuteInProcessResult:
        """Run a job as the daemon would for a request."""
        if request is not None:
            options |= {"asset_selection": request.asset_selection, "run_config": request.run_config}
            options["tags"] = dict(request.tags)
        resolved = self.definitions.resolve_job_def(job)
        return resolved.execute_in_process(instance=self.instance, raise_on_error=False, **options)

    def train(self, *slugs: str) -> dg.ExecuteInProcessResult:
        """One night of these solutions."""
        from orchestration.assets.keys import solution_key

        keys = [solution_key(self.spec(slug), part) for slug in slugs for part in PARTS]
        return self.run("nightly", asset_selection=keys)

    def tick(self, name: str, cursor: str | None) -> tuple[list[dg.RunRequest], str]:
        """Requests and new cursor of a sensor's tick; the old cursor where the tick leaves it."""
        import dagster as dg

        context = dg.build_sensor_context(instance=self.instance, cursor=cursor)
        found = self.definitions.get_repository_def().get_sensor_def(name)(context)
        if isinstance(found, dg.SkipReason):
            return [], cursor or ""
        assert isinstance(found, dg.SensorResult)
        return list(found.run_requests or []), found.cursor or cursor or ""


@contextmanager
def open_workshop(folder: Path) -> Iterator[Workshop]:
    """An instance with the solutions `mine/one` and `mine/two`, not trained yet."""
    import dagster as dg

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELLWORKS_HOME", str(folder / "home"))
        for number, slug in enumerate(("one", "two")):
            write_solution(folder, slug, own_rows(400, first=10_000 * number))
        here = plant()
        bootstrap(here.home.ensure(), here.site)
        with dg.instance_for_test(temp_dir=str(here.home.dagster_dir)) as instance:
            yield Workshop(here, folder, instance)


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    """A workshop of the test's own."""
    with open_workshop(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A workshop whose solutions have their champions; tests leave them as they were."""
    import dagster as dg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # of Dagster's own making
        with open_workshop(tmp_path_factory.mktemp("workshop")) as made:
            assert made.train("one", "two").success
            yield made
