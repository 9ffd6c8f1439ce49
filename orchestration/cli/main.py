"""The command `cellworks`: one door for people and programs."""

from __future__ import annotations

import errno
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestration.cli import plant_commands
from orchestration.cli.groups import figures, people, registry, servers, solutions
from orchestration.cli.options import Json, SiteOption, at
from orchestration.environment import HOME_VARIABLE, default_home, prepare_process
from orchestration.interruption import interruption_in
from orchestration.logs import LOG_VARIABLE, configure
from orchestration.output import hide_in_output
from orchestration.printable import printable
from pipelines.control_plan.errors import CellworksError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="cellworks: from plant data to promoted models that act. State lives under CELLWORKS_HOME.",
)
for group in (people.app, registry.app, solutions.app, servers.app, figures.app):
    app.add_typer(group)

# Trouble of the machine, such as a full disk: the person must mend it, and a traceback would not help.
_THE_MACHINES = (errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS)


@app.command()
def init(as_json: Json = False, site: SiteOption = None) -> None:
    """Create the instance's lake; harmless when it is there. Example: cellworks init --site infra/sites/demo."""
    at(site)
    plant_commands.init(as_json=as_json)


@app.command()
def simulate(
    days: Annotated[int, typer.Option(min=1, help="Production days to simulate.")] = 1,
    seed: Annotated[int | None, typer.Option(help="Seed of a new plant; a plant that goes on keeps its own.")] = None,
    scenario: Annotated[
        str | None, typer.Option(help="A scenario of the site's twin.yaml; a new plant's is `baseline`.")
    ] = None,
    telemetry_days: Annotated[int, typer.Option(min=0, help="Last days that bring minute values.")] = 7,
    scale: Annotated[
        float | None, typer.Option(min=0.01, max=1.0, help="Share of the cells followed; a new plant's is 1, all.")
    ] = None,
    decisions: Annotated[Path | None, typer.Option(help="YAML; see docs/how-to/scenarios.md.")] = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Let the twin run the next days. Example: cellworks simulate --site my_site --seed 1234 --days 10."""
    at(site)
    from orchestration.cli.simulate import run_twin

    run_twin(days, seed, scenario, telemetry_days, scale, decisions, as_json=as_json)


@app.command()
def nightly(
    only: Annotated[
        list[str] | None,
        typer.Option(help="Just this solution, as stage/slug, over what is published already; may be repeated."),
    ] = None,
    take_in: Annotated[
        bool, typer.Option("--take-in", help="With --only: first take in, curate, check and publish the whole plant.")
    ] = False,
    search: Annotated[bool, typer.Option("--search", help="Spend the whole search budget.")] = False,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Ingest, curate, check, learn, act. Example: cellworks nightly --only finishing/yield_root_cause."""
    at(site)
    plant_commands.nightly(only or [], take_in=take_in, full_search=search, as_json=as_json)


@app.command()
def demo(
    days: Annotated[int, typer.Option(min=1, help="Days of the first run; each later run brings one.")] = 30,
    scale: Annotated[float, typer.Option(min=0.01, max=1.0, help="Size of the plant, at the first run.")] = 1.0,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Simulate a month (later: the next day), then run the night. Example: cellworks demo --days 10 --scale 0.1."""
    at(site)
    from orchestration.cli.simulate import in_words, next_days

    simulated = next_days(days, scale)
    if not as_json:
        print(in_words(simulated), flush=True)
    plant_commands.nightly([], take_in=False, full_search=False, as_json=as_json)


@app.command()
def status(as_json: Json = False, site: SiteOption = None) -> None:
    """Show every solution and the plant's key figures. Example: cellworks status --json."""
    at(site)
    from orchestration.cli.status import show_status

    show_status(as_json=as_json)


@app.command()
def doctor(as_json: Json = False, site: SiteOption = None) -> None:
    """Look at the installation, and say what is wrong and how to mend it. Example: cellworks doctor --json."""
    at(site)
    from orchestration.cli.doctor import show_findings

    show_findings(as_json=as_json)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="In words, as one of the topics has it.")],
    of: Annotated[str | None, typer.Option("--of", help="Which assistant, as stage/slug. Default: the first.")] = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Answer from the plant's rows, with what each sentence rests on. Example: cellworks ask "what was the oee"."""
    at(site)
    from orchestration.cli import ask as asking

    asking.ask(question, of, as_json=as_json)


@app.command()
def trace(
    kind: Annotated[str, typer.Argument(help="cell, lot, mother_roll, module, container, ...")],
    name: Annotated[str, typer.Argument(help="Its name, as the line gave it.")],
    went_into: Annotated[
        bool | None,
        typer.Option("--went-into/--made-of", help="Which way. Default: a lot to its cells, all else to its lots."),
    ] = None,
    from_m: Annotated[float | None, typer.Option(help="Of a roll, only from this metre on.")] = None,
    to_m: Annotated[float | None, typer.Option(help="Of a roll, only to this metre.")] = None,
    passport: Annotated[bool, typer.Option("--passport", help="Its battery passport instead.")] = False,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """What a thing was made of, or a lot went into. Example: cellworks trace cell C000000123 --json."""
    at(site)
    from orchestration.cli import trace as tracing

    if passport:
        tracing.passport(kind, name, as_json=as_json)
    else:
        way: Literal["made_of", "went_into"] | None = None
        if went_into is not None:
            way = "went_into" if went_into else "made_of"
        tracing.trace(tracing.Wanted(kind, name, way, from_m, to_m), as_json=as_json)


@app.command()
def charts(
    days: Annotated[int, typer.Option(min=2, help="Newest production days to chart, the reference among them.")] = 30,
    reference: Annotated[int, typer.Option(min=1, help="First of these days, from which limits are learnt.")] = 10,
    budget_share: Annotated[
        float,
        typer.Option(min=0.01, max=1.0, help="Of an alarm per operator in ten minutes, what a healthy line may take."),
    ] = 0.25,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Chart every control point by the minute. Example: cellworks charts --days 7 --reference 3 --json."""
    at(site)
    from orchestration.cli.charts import show_charts

    show_charts(days, reference, budget_share, as_json=as_json)


@app.command("data-docs")
def data_docs(
    opened: Annotated[bool, typer.Option("--open", help="Open the pages in the browser.")] = False,
    site: SiteOption = None,
) -> None:
    """Validate every suite and write its page. Example: cellworks data-docs --open."""
    at(site)
    from orchestration.cli import data_docs as pages

    pages.build(opened=opened)


@app.command()
def evaluate(
    solution: Annotated[str | None, typer.Argument(help="stage/slug, or the slug alone.")] = None,
    of_all: Annotated[bool, typer.Option("--all", help="Every solution.")] = False,
    plants: Annotated[int, typer.Option(min=1, help="Simulated plants, 5 to 20.")] = 20,
    docs: Annotated[Path | None, typer.Option(help="With --all: write what the solutions' pages are made of.")] = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Measure whether solutions work, by their nights and on the twin. Example: cellworks evaluate --all --json."""
    at(site)
    from orchestration.cli.evaluate import run_evaluation

    run_evaluation(solution, plants, docs, of_all=of_all, as_json=as_json)


@app.command()
def ui(
    part: Annotated[Literal["dagster", "mlflow"] | None, typer.Argument(help="Default: both.")] = None,
    dagster_port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    site: SiteOption = None,
) -> None:
    """Serve Dagster and MLflow on 127.0.0.1 until Ctrl-C. Example: cellworks ui mlflow --mlflow-port 5001."""
    at(site)
    from orchestration.cli.serve import serve

    serve(part, dagster_port, mlflow_port)


@app.command("dbt-docs")
def dbt_docs(as_json: Json = False, site: SiteOption = None) -> None:
    """Write one page on every curated table, column and unit. Example: cellworks dbt-docs."""
    at(site)
    from orchestration.cli import dbt_docs as page

    page.write(as_json=as_json)


def main() -> None:
    """Entry point: a user's mistake is told without a traceback, with exit code 2."""
    prepare_process()
    os.environ.setdefault(HOME_VARIABLE, str(default_home()))
    hide_in_output()
    try:
        configure()
        app()
    except CellworksError as error:
        _tell(str(error))
        sys.exit(2)
    except OSError as error:
        if error.errno not in _THE_MACHINES:
            raise
        said = f"{error.strerror}: {error.filename or ''}".rstrip(": ")
        _tell(f"{said}\n  mend:     make room, or name another folder with CELLWORKS_HOME")
        sys.exit(2)
    except BaseException as error:
        if not interruption_in(error):
            raise
        _tell("interrupted; the next run goes on from the last commit")
        sys.exit(130)


def _tell(what: str) -> None:
    """Say why the command ended, to a person or to the log."""
    if os.environ.get(LOG_VARIABLE) == "json":
        logging.getLogger("cellworks.command").error(what)
    else:
        print("cellworks:", printable(what, keep="\n"), file=sys.stderr)
