"""The command line as a new user meets it: examples in the help, one document under --json, mistakes told in words."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from filelock import FileLock

from orchestration.cli.main import app
from tests.servers import NOBODYS

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "infra" / "sites" / "demo"
Here = Callable[..., Any]


def _commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, child in command.commands.items():
        yield from _commands(child, *path, name)


COMMANDS = dict(_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_that_its_own_options_can_read(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    example = re.search(r"Example: (cellworks .*?)\.?$", " ".join((command.help or "").split()))
    assert example is not None, command.help
    words = shlex.split(example[1])
    assert tuple(words[1 : 1 + len(path)]) == path
    command.make_context(path[-1], words[1 + len(path) :])
    assert any("--site" in each.opts for each in command.params)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["init"],
        ["status"],
        ["models"],
        ["actions", "list"],
        ["actions", "causes"],
        ["quarantine", "list"],
        ["simulate", "--scale", "0.01", "--telemetry-days", "0"],
        ["solution", "new", "mine/model", "--table", "table.csv", "--target", "y", "--entity", "id"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_json_is_one_document_and_all_that_standard_output_holds(
    arguments: list[str], here: Here, tmp_path: Path
) -> None:
    rows = "\n".join(f"P{n},{n * 37 % 101 / 10},{n * 53 % 97}" for n in range(200))
    (tmp_path / "table.csv").write_text(f"id,x,y\n{rows}\n")
    assert here("init").returncode == 0
    told = here(*arguments, "--json")
    assert told.returncode == 0, told.stderr
    json.loads(told.stdout)


def test_init_again_changes_nothing(here: Here, tmp_path: Path) -> None:
    def files() -> dict[str, bytes]:
        lake = tmp_path / "home" / "lake"
        return {str(each): each.read_bytes() for each in lake.rglob("*") if each.is_file() and "-" not in each.name}

    first = here("init")
    before = files()
    second = here("init")
    assert (first.returncode, second.returncode) == (0, 0)
    assert second.stdout == first.stdout
    assert files() == before


@contextmanager
def _ready(_: Path) -> Iterator[None]:
    yield


@contextmanager
def _damaged_catalogue(folder: Path) -> Iterator[None]:
    (folder / "home" / "lake").mkdir(parents=True)
    (folder / "home" / "lake" / "catalogue.sqlite").write_bytes(b"no database" * 500)
    yield


@contextmanager
def _damaged_twin(folder: Path) -> Iterator[None]:
    (folder / "home" / "twin").mkdir(parents=True)
    (folder / "home" / "twin" / "state.json").write_text('{"seed": 1, "scen')
    yield


@contextmanager
def _plant_of_seed_1(folder: Path) -> Iterator[None]:
    (folder / "home" / "twin").mkdir(parents=True)
    state = {"seed": 1, "scenario": "baseline", "scale": 0.01, "next_day": 1}
    (folder / "home" / "twin" / "state.json").write_text(json.dumps(state))
    yield


@contextmanager
def _home_is_a_file(folder: Path) -> Iterator[None]:
    (folder / "home").write_text("")
    yield


@contextmanager
def _home_of_another_site(folder: Path) -> Iterator[None]:
    (folder / "home").mkdir()
    (folder / "home" / "site.json").write_text(json.dumps({"name": "demo", "folder": str(folder)}))
    yield


@contextmanager
def _another_night(folder: Path) -> Iterator[None]:
    (folder / "home").mkdir()
    with FileLock(folder / "home" / "nightly.lock"):
        yield


@contextmanager
def _taken_port(_: Path) -> Iterator[None]:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 38417))
        other.listen()
        yield


@contextmanager
def _wrong_site(folder: Path) -> Iterator[None]:
    shutil.copytree(DEMO, folder / "my_site")
    plan = folder / "my_site" / "control_plan.csv"
    plan.write_text(plan.read_text().replace(",weld_height_um,", ",weld_height,", 1))
    yield


@contextmanager
def _tables(folder: Path) -> Iterator[None]:
    (folder / "broken.parquet").write_bytes(b"PAR1 and no more")
    (folder / "empty.csv").write_text("")
    (folder / "latin.csv").write_bytes(b"id,y\n" + b"\xe4\xff,1\n" * 100)
    (folder / "ragged.jsonl").write_text('{"id": 1}\n{"id": \n')
    (folder / "page.xlsx").write_bytes(b"PK")
    yield


@contextmanager
def _guarded_on_servers(folder: Path) -> Iterator[None]:
    site = shutil.copytree(DEMO, folder / "my_site") / "site.yaml"
    site.write_text(site.read_text() + "access: {roles: {viewer: {people: [ana]}, admin: {people: [li]}}}\n")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in NOBODYS.items():
            patch.setenv(name, value)
        yield


TABLE = ["--target", "y", "--entity", "id"]
MISTAKES: dict[str, tuple[Callable[[Path], Any], list[str], str]] = {
    "unknown command": (_ready, ["nigthly"], "No such command"),
    "unknown option": (_ready, ["status", "--jsn"], "No such option"),
    "no such solution": (_ready, ["nightly", "--only", "mine/nothing"], "no solution is called 'mine/nothing'"),
    "no such solution to roll back": (_ready, ["rollback", "nothing", "--why", "x"], "no solution is called 'nothing'"),
    "promotion without a reason": (_ready, ["promote", "yield_root_cause", "1"], "Missing option '--why'"),
    "override without a reason": (_ready, ["override", "yield_root_cause", "1"], "Missing option '--why'"),
    "no such site": (_ready, ["status", "--site", "nowhere"], "there is no such site"),
    "a folder that is no site": (_ready, ["init", "--site", "."], "control_plan.csv: is missing"),
    "a site with a wrong row": (_wrong_site, ["init", "--site", "my_site"], "carries no unit suffix"),
    "no lake, actions": (_ready, ["actions", "list"], "there is no lake yet"),
    "no lake, quarantine": (_ready, ["quarantine", "list"], "there is no lake yet"),
    "no such solution, actions": (_ready, ["actions", "list", "--of", "nobody"], "no solution is called 'nobody'"),
    "no lake, approve": (_ready, ["actions", "approve", "1a2b", "--why", "x"], "there is no lake yet"),
    "damaged lake": (_damaged_catalogue, ["status"], "the lake can't be opened"),
    "damaged twin": (_damaged_twin, ["simulate"], "the twin's state can't be read"),
    "unknown scenario": (_ready, ["simulate", "--scenario", "flood"], "there is no scenario 'flood'"),
    "another seed": (_plant_of_seed_1, ["simulate", "--seed", "2"], "this plant was begun otherwise"),
    "another scenario": (_plant_of_seed_1, ["simulate", "--scenario", "dryer_drift"], "this plant was begun otherwise"),
    "another scale": (_plant_of_seed_1, ["simulate", "--scale", "0.5"], "this plant was begun otherwise"),
    "no days": (_ready, ["simulate", "--days", "0"], "greater than or equal to 1"),
    "negative days": (_ready, ["demo", "--days", "-3"], "greater than or equal to 1"),
    "days in words": (_ready, ["simulate", "--days", "ten"], "valid integer"),
    "a plant larger than whole": (_ready, ["simulate", "--scale", "2"], "less than or equal to 1"),
    "negative limit": (_ready, ["actions", "list", "--limit", "-1"], "greater than or equal to 1"),
    "home is a file": (_home_is_a_file, ["init"], "the home of this instance can't be written"),
    "home is a file, simulate": (_home_is_a_file, ["simulate"], "the home of this instance can't be written"),
    "home of another site": (_home_of_another_site, ["init"], "this home belongs to another site"),
    "another night": (_another_night, ["nightly"], "another run is under way"),
    "one solution before any night": (_ready, ["nightly", "--only", "incoming/acceptance_sampling"], "add --take-in"),
    "port taken": (_taken_port, ["ui", "dagster", "--dagster-port", "38417"], "port 38417 of 127.0.0.1 can't be used"),
    "pages past the login": (
        _guarded_on_servers,
        ["ui", "dagster", "--dagster-port", "38418", "--site", "my_site"],
        "pages behind the login of the gateway",
    ),
    "no such port": (_ready, ["ui", "--mlflow-port", "99999"], "less than or equal to 65535"),
    "no such part": (_ready, ["ui", "grafana"], "is not one of"),
    "broken table": (_tables, ["solution", "new", "m/m", "--table", "broken.parquet", *TABLE], "broken.parquet"),
    "empty table": (
        _tables,
        ["solution", "new", "m/m", "--table", "empty.csv", *TABLE],
        "column 'y' is not in the table",
    ),
    "table in another encoding": (_tables, ["solution", "new", "m/m", "--table", "latin.csv", *TABLE], "latin.csv"),
    "half a JSON line": (_tables, ["solution", "new", "m/m", "--table", "ragged.jsonl", *TABLE], "ragged.jsonl"),
    "a spreadsheet": (_tables, ["solution", "new", "m/m", "--table", "page.xlsx", *TABLE], "page.xlsx"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_in_words_with_a_failing_exit_code(case: str, here: Here, tmp_path: Path) -> None:
    prepare, arguments, says = MISTAKES[case]
    with prepare(tmp_path):
        told = here(*arguments)
    assert told.returncode == 2, told
    assert says in " ".join(told.stderr.replace("│", " ").split())
    assert "Traceback" not in told.stderr
    assert told.stdout == ""


def test_what_a_person_must_know_is_in_a_refusal(here: Here) -> None:
    told = here("status", "--site", "nowhere").stderr
    assert [line.split(":")[0].strip() for line in told.splitlines()] == ["cellworks", "expected", "found", "mend"]
