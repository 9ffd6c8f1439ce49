"""The command `cellworks`: one door for people and programs."""

from __future__ import annotations

import errno
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestration.cli import people, plant_commands, registry_commands
from orchestration.environment import HOME_VARIABLE, SITE_VARIABLE, default_home, prepare_process, project_root
from orchestration.interruption import interruption_in
from orchestration.logs import LOG_VARIABLE, configure
from pipelines.control_plan.errors import CellworksError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="cellworks: from plant data to promoted models that act. State lives under CELLWORKS_HOME.",
)
actions_app = typer.Typer(no_args_is_help=True, help="Proposed actions: list them, approve or reject one.")
quarantine_app = typer.Typer(no_args_is_help=True, help="Rows and files that did not fit.")
app.add_typer(actions_app, name="actions")
app.add_typer(quarantine_app, name="quarantine")
audit_app = typer.Typer(no_args_is_help=True, help="Who did what: list it, look whether somebody changed it.")
app.add_typer(audit_app, name="audit")
metrics_app = typer.Typer(no_args_is_help=True, help="Figures of the running plant, for Prometheus.")
app.add_typer(metrics_app, name="metrics")
solution_app = typer.Typer(no_args_is_help=True, help="Solutions over your own tables.")
app.add_typer(solution_app, name="solution")
pack_app = typer.Typer(no_args_is_help=True, help="Solutions that go from one site to another.")
app.add_typer(pack_app, name="pack")
services_app = typer.Typer(no_args_is_help=True, help="The servers of one machine: start, stop, look.")
app.add_typer(services_app, name="services")

# Trouble of the machine, such as a full disk: the person must mend it, and a traceback would not help.
_THE_MACHINES = (errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS)

SiteOption = Annotated[
    Path | None, typer.Option("--site", help="Folder of the site. Default: infra/sites/demo.", callback=None)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Why = Annotated[str, typer.Option(help="The reason, kept in the audit.")]
Who = Annotated[
    str | None, typer.Option(help="Who does it, where the site names no roles. Default: the user of this machine.")
]
ActionId = Annotated[str, typer.Argument(help="Id of the action, or enough of its beginning.")]
Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]


def _at(site: Path | None) -> None:
    """Make the site known to this process and those it starts."""
    if site is not None:
        folder = site if site.is_dir() else project_root() / site
        if not folder.is_dir():
            raise CellworksError(
                "there is no such site",
                expected="a folder with site.yaml",
                found=str(site),
                mend="see infra/sites/demo",
            )
        os.environ[SITE_VARIABLE] = str(folder.resolve())


@app.command()
def init(as_json: Json = False, site: SiteOption = None) -> None:
    """Create the instance's lake; harmless when it is there. Example: cellworks init --site infra/sites/demo."""
    _at(site)
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
    _at(site)
    from orchestration.cli.simulate import run_twin

    run_twin(days, seed, scenario, telemetry_days, scale, decisions, as_json=as_json)


@app.command()
def nightly(
    only: Annotated[list[str] | None, typer.Option(help="Just this solution, as stage/slug; may be repeated.")] = None,
    take_in: Annotated[bool, typer.Option("--take-in", help="With --only: take in, curate and check before.")] = False,
    search: Annotated[bool, typer.Option("--search", help="Spend the whole search budget.")] = False,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Ingest, curate, check, learn, act. Example: cellworks nightly --only finishing/yield_root_cause."""
    _at(site)
    plant_commands.nightly(only or [], take_in=take_in, full_search=search, as_json=as_json)


@app.command()
def demo(
    days: Annotated[int, typer.Option(min=1, help="Days of the first run; each later run brings one.")] = 30,
    scale: Annotated[float, typer.Option(min=0.01, max=1.0, help="Size of the plant, at the first run.")] = 1.0,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Simulate a month (later: the next day), then run the night. Example: cellworks demo --days 10 --scale 0.1."""
    _at(site)
    from orchestration.cli.simulate import in_words, next_days

    simulated = next_days(days, scale)
    if not as_json:
        print(in_words(simulated), flush=True)
    plant_commands.nightly([], take_in=False, full_search=False, as_json=as_json)


@app.command()
def status(as_json: Json = False, site: SiteOption = None) -> None:
    """Show every solution and the plant's key figures. Example: cellworks status --json."""
    _at(site)
    from orchestration.cli.status import show_status

    show_status(as_json=as_json)


@app.command()
def doctor(as_json: Json = False, site: SiteOption = None) -> None:
    """Look at the installation, and say what is wrong and how to mend it. Example: cellworks doctor --json."""
    _at(site)
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
    _at(site)
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
    _at(site)
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
    _at(site)
    from orchestration.cli.charts import show_charts

    show_charts(days, reference, budget_share, as_json=as_json)


@app.command("data-docs")
def data_docs(
    opened: Annotated[bool, typer.Option("--open", help="Open the pages in the browser.")] = False,
    site: SiteOption = None,
) -> None:
    """Validate every suite and write its page. Example: cellworks data-docs --open."""
    _at(site)
    from orchestration.cli import data_docs as pages

    pages.build(opened=opened)


@app.command()
def models(as_json: Json = False, site: SiteOption = None) -> None:
    """List versions and their aliases. Example: cellworks models."""
    _at(site)
    registry_commands.show_models(as_json=as_json)


@app.command()
def rollback(
    solution: Annotated[str, typer.Argument(help="stage/slug, or the slug alone.")],
    why: Why = "no reason given",
    who: Who = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Move champion back to previous. Example: cellworks rollback yield_root_cause --why "too many false alarms"."""
    _at(site)
    registry_commands.roll_back(solution, who, why, as_json=as_json)


@app.command()
def override(
    solution: Annotated[str, typer.Argument(help="stage/slug, or the slug alone.")],
    version: Annotated[str, typer.Argument(help="Its number, as `cellworks models` lists it.")],
    why: Why,
    who: Who = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Clear a version that no gate has passed. Example: cellworks override yield_root_cause 3 --why "trial run"."""
    _at(site)
    registry_commands.override(solution, version, who, why, as_json=as_json)


@app.command()
def bench(
    only: Annotated[str | None, typer.Option(help="One part: ingestion, training, night, ...")] = None,
    small: Annotated[bool, typer.Option("--small", help="A small plant: mechanics, not figures.")] = False,
    telemetry_days: Annotated[int | None, typer.Option(min=0, help="Of 30 days, how many by the minute.")] = None,
    docs: Annotated[Path | None, typer.Option(help="Folder for bench.md and bench.json.")] = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Measure the platform beside the bare work. Example: cellworks bench --only ingestion --json."""
    _at(site)
    from orchestration.cli.bench import bench as run_bench

    run_bench(only, telemetry_days, docs, small=small, as_json=as_json)


@app.command()
def benchmarks(
    data: Annotated[
        Path | None, typer.Option(envvar="CELLWORKS_DATA", help="Folder with a folder per data set.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="One data set.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One split each: whether it works, not how well.")] = False,
    docs: Annotated[Path | None, typer.Option(help="Folder for benchmarks.md, benchmarks.json and pictures.")] = None,
    render: Annotated[bool, typer.Option("--render", help="Write the page of --docs again; measure nothing.")] = False,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Public data sets beside what was published. Example: cellworks benchmarks --data data --json."""
    _at(site)
    from orchestration.cli import benchmarks as command

    if render:
        command.render_again(docs)
    else:
        command.run_benchmarks(data, only, docs, quick=quick, as_json=as_json)


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
    _at(site)
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
    _at(site)
    from orchestration.cli.serve import serve

    serve(part, dagster_port, mlflow_port)


@app.command()
def gateway(
    listen: Annotated[str, typer.Option(help="address:port.")] = "127.0.0.1:8443",
    host: Annotated[str, typer.Option(help="The name that browsers know it by.")] = "localhost",
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None,
    ca_bundle: Annotated[Path | None, typer.Option(help="Certificates of who signed the issuer's, PEM.")] = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Write the gateway's configuration from the site's roles. Example: cellworks gateway --host plant.example.org."""
    _at(site)
    from orchestration.cli import gateway as command

    command.write(listen, host, certificate, key, ca_bundle, as_json=as_json)


@app.command()
def migrate(as_json: Json = False, site: SiteOption = None) -> None:
    """Move an embedded instance to the servers of CELLWORKS_ENV=servers. Example: cellworks migrate --json."""
    _at(site)
    from orchestration.cli import moving

    moving.migrate(as_json=as_json)


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Write lake, registry, runs and home as of one moment. Example: cellworks backup /mnt/backup/2026-11-27."""
    _at(site)
    from orchestration.cli import moving

    moving.backup(folder, as_json=as_json)


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="What `cellworks backup` wrote.")],
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Bring a backup back into an empty instance. Example: cellworks restore /mnt/backup/2026-11-27."""
    _at(site)
    from orchestration.cli import moving

    moving.restore(folder, as_json=as_json)


@app.command("dbt-docs")
def dbt_docs(as_json: Json = False, site: SiteOption = None) -> None:
    """Write one page on every curated table, column and unit. Example: cellworks dbt-docs."""
    _at(site)
    from orchestration.cli import dbt_docs as page

    page.write(as_json=as_json)


@actions_app.command("list")
def list_actions(
    of: Annotated[str | None, typer.Option(help="Only this solution: stage/slug or slug.")] = None,
    as_json: Json = False,
    limit: Limit = 30,
    site: SiteOption = None,
) -> None:
    """List actions, newest first. Example: cellworks actions list --of grading --json."""
    _at(site)
    people.show_actions(of, limit, as_json=as_json)


@actions_app.command("causes")
def action_causes(as_json: Json = False, site: SiteOption = None) -> None:
    """Show what the newest actions have in common. Example: cellworks actions causes --json."""
    _at(site)
    from orchestration.cli import causes

    causes.show_causes(as_json=as_json)


@actions_app.command()
def approve(action_id: ActionId, why: Why, who: Who = None, as_json: Json = False, site: SiteOption = None) -> None:
    """Approve an action. Example: cellworks actions approve 1a2b3c4d --why "seen on the line"."""
    _at(site)
    people.decide_action(action_id, "approved", who, why, as_json=as_json)


@actions_app.command()
def reject(action_id: ActionId, why: Why, who: Who = None, as_json: Json = False, site: SiteOption = None) -> None:
    """Reject an action. Example: cellworks actions reject 1a2b3c4d --why "machine was serviced"."""
    _at(site)
    people.decide_action(action_id, "rejected", who, why, as_json=as_json)


@actions_app.command("modes")
def action_modes(as_json: Json = False, site: SiteOption = None) -> None:
    """Show what each kind of action may do. Example: cellworks actions modes --json."""
    _at(site)
    people.show_modes(as_json=as_json)


@actions_app.command("accept-modes")
def accept_action_modes(why: Why, who: Who = None, as_json: Json = False, site: SiteOption = None) -> None:
    """Accept modes and limits as site.yaml has them. Example: cellworks actions accept-modes --why "a calm month"."""
    _at(site)
    people.accept_modes(who, why, as_json=as_json)


@quarantine_app.command("list")
def list_quarantine(
    feed: Annotated[str | None, typer.Option(help="Only this feed.")] = None,
    all_records: Annotated[bool, typer.Option("--all", help="Also what was replayed.")] = False,
    as_json: Json = False,
    limit: Limit = 30,
    site: SiteOption = None,
) -> None:
    """List what was set aside, newest first. Example: cellworks quarantine list --feed mes__filling."""
    _at(site)
    from orchestration.cli import quarantine

    quarantine.show(feed, limit, all_records=all_records, as_json=as_json)


@quarantine_app.command("replay")
def replay_quarantine(
    ids: Annotated[list[int] | None, typer.Argument(help="Numbers of the records; none: all that are open.")] = None,
    why: Why = "no reason given",
    who: Who = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Try again after plan, feed or file was mended. Example: cellworks quarantine replay 17 18."""
    _at(site)
    from orchestration.cli import quarantine

    quarantine.replay(ids or [], who, why, as_json=as_json)


@audit_app.command("list")
def list_acts(as_json: Json = False, limit: Limit = 30, site: SiteOption = None) -> None:
    """List who did what, newest first. Example: cellworks audit list --limit 10 --json."""
    _at(site)
    from orchestration.cli import audit

    audit.show(limit, as_json=as_json)


@audit_app.command("verify")
def verify_audit(
    head: Annotated[
        list[str] | None, typer.Option(help="A last row that you noted, as number:hash; may be repeated.")
    ] = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Find the first row changed, removed or put in; exit code 1. Example: cellworks audit verify --json."""
    _at(site)
    from orchestration.cli import audit

    audit.verify(head or [], as_json=as_json)


@metrics_app.command("serve")
def serve_metrics(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of 127.0.0.1; 0 for any.")] = 9464,
    fresh: Annotated[float, typer.Option(min=0.0, help="Seconds until figures are read again.")] = 15.0,
    site: SiteOption = None,
) -> None:
    """Serve metrics on 127.0.0.1 until Ctrl-C. Example: cellworks metrics serve --port 9464."""
    _at(site)
    from orchestration.metrics.serve import serve

    serve(port, fresh)


@solution_app.command("new")
def new_solution(
    name: Annotated[str, typer.Argument(help="stage/slug, such as my_stage/my_model.")],
    table: Annotated[str, typer.Option(help="CSV, Parquet or JSON-lines file, or a lake table.")],
    target: Annotated[str, typer.Option(help="Column to predict.")],
    entity: Annotated[str, typer.Option(help="Column that names a row.")],
    time: Annotated[str | None, typer.Option(help="When each row happened.")] = None,
    group: Annotated[str | None, typer.Option(help="Lot or batch that must stay together.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Column that is no feature; may be repeated.")] = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Write a solution. Example: cellworks solution new my_stage/my_model --table t.csv --target y --entity id."""
    _at(site)
    from orchestration.cli import solution

    roles = solution.Roles(target, entity, time, group)
    solution.new(name, table, roles, exclude=exclude or (), as_json=as_json)


@pack_app.command("export")
def pack_export(
    names: Annotated[list[str], typer.Argument(metavar="STAGE/SLUG...", help="Solutions, as stage/slug.")],
    to: Annotated[Path, typer.Option("--to", help="The new ZIP file.")],
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Write solutions into a pack. Example: cellworks pack export assembly/tab_weld_quality --to weld.zip."""
    _at(site)
    from orchestration.cli import packs

    packs.write(names, to, as_json=as_json)


@pack_app.command("import")
def pack_import(
    file: Annotated[Path, typer.Argument(help="What `cellworks pack export` wrote.")],
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Take a pack in; it may not act before its gates passed here. Example: cellworks pack import weld.zip."""
    _at(site)
    from orchestration.cli import packs

    packs.take(file, as_json=as_json)


@services_app.command("up")
def services_up(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the reverse proxy, on 127.0.0.1.")] = 8080,
    more: Annotated[list[Path] | None, typer.Option("--more-site", help="A further site; may be repeated.")] = None,
    stores: Annotated[bool, typer.Option("--stores", help="Only PostgreSQL and the S3 endpoint.")] = False,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Start PostgreSQL, S3, MLflow, Dagster and the proxy. Example: cellworks services up --port 8080."""
    _at(site)
    from orchestration.cli import services

    services.up(more or [], port, stores_only=stores, as_json=as_json)


@services_app.command("down")
def services_down(as_json: Json = False, site: SiteOption = None) -> None:
    """Stop them, the proxy first and the stores last. Example: cellworks services down."""
    _at(site)
    from orchestration.cli import services

    services.down(as_json=as_json)


@services_app.command("status")
def services_status(as_json: Json = False, site: SiteOption = None) -> None:
    """Show what runs and what answers; code 1 when anything does not. Example: cellworks services status --json."""
    _at(site)
    from orchestration.cli import services

    services.show_status(as_json=as_json)


def main() -> None:
    """Entry point: a user's mistake is told without a traceback, with exit code 2."""
    prepare_process()
    os.environ.setdefault(HOME_VARIABLE, str(default_home()))
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
        print(f"cellworks: {what}", file=sys.stderr)
