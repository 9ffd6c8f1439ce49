"""Commands that measure the platform itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.options import Json, SiteOption, at

app = typer.Typer()


@app.command()
def scale(
    small: Annotated[
        bool, typer.Option("--small", help="Small plants of one to three lines: mechanics, not figures.")
    ] = False,
    docs: Annotated[Path | None, typer.Option(help="Folder for scale.md.")] = None,
    figures: Annotated[Path | None, typer.Option(help="File for the figures as JSON, such as .tmp/scale.json.")] = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Measure one line, three and ten, and plan beyond. Example: cellworks scale --small --figures .tmp/scale.json."""
    at(site)
    from orchestration.cli.scale import scale as run_scale

    run_scale(docs, figures, small=small, as_json=as_json)


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
    at(site)
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
    at(site)
    from orchestration.cli import benchmarks as command

    if render:
        command.render_again(docs)
    else:
        command.run_benchmarks(data, only, docs, quick=quick, as_json=as_json)
