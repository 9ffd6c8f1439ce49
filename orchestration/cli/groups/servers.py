"""Commands of who runs an installation: servers, gateway, metrics, and the instance as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.options import Json, SiteOption, Solution, Who, at

app = typer.Typer()
metrics_app = typer.Typer(no_args_is_help=True, help="Figures of the running plant, for Prometheus.")
app.add_typer(metrics_app, name="metrics")
services_app = typer.Typer(no_args_is_help=True, help="The servers of one machine: start, stop, look.")
app.add_typer(services_app, name="services")


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
    at(site)
    from orchestration.cli import gateway as command

    command.write(listen, host, certificate, key, ca_bundle, as_json=as_json)


@app.command()
def migrate(as_json: Json = False, site: SiteOption = None) -> None:
    """Move an embedded instance to the servers of CELLWORKS_ENV=servers. Example: cellworks migrate --json."""
    at(site)
    from orchestration.cli import moving

    moving.migrate(as_json=as_json)


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    who: Who = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Write lake, registry, runs and home as of one moment. Example: cellworks backup /mnt/backup/2026-11-27."""
    at(site)
    from orchestration.cli import moving

    moving.backup(folder, who, as_json=as_json)


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="What `cellworks backup` wrote.")],
    who: Who = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Bring a backup back into an empty instance. Example: cellworks restore /mnt/backup/2026-11-27."""
    at(site)
    from orchestration.cli import moving

    moving.restore(folder, who, as_json=as_json)


@app.command("tune-worker")
def tune_worker(
    solution: Solution,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Help a search under way until no trial is left. Example: cellworks tune-worker yield_root_cause."""
    at(site)
    from orchestration.cli import tune_worker as worker

    worker.help_with(solution, as_json=as_json)


@app.command()
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    who: Who = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Let old runs, model versions and snapshots go, by the site's retention. Example: cellworks prune --dry-run."""
    at(site)
    from orchestration.cli import prune as command

    command.prune(dry_run=dry_run, who=who, as_json=as_json)


@metrics_app.command("serve")
def serve_metrics(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any.")] = 9464,
    host: Annotated[str, typer.Option(help="Address to listen on; there is no login.")] = "127.0.0.1",
    fresh: Annotated[float, typer.Option(min=0.0, help="Seconds until figures are read again.")] = 15.0,
    site: SiteOption = None,
) -> None:
    """Serve metrics until Ctrl-C. Example: cellworks metrics serve --port 9464."""
    at(site)
    from orchestration.metrics.serve import serve

    serve(port, fresh, host)


@services_app.command("up")
def services_up(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the reverse proxy, on 127.0.0.1.")] = 8080,
    more: Annotated[list[Path] | None, typer.Option("--more-site", help="A further site; may be repeated.")] = None,
    stores: Annotated[bool, typer.Option("--stores", help="Only PostgreSQL and the S3 endpoint.")] = False,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Start PostgreSQL, S3, MLflow, Dagster and the proxy. Example: cellworks services up --port 8080."""
    at(site)
    from orchestration.cli import services

    services.up(more or [], port, stores_only=stores, as_json=as_json)


@services_app.command("down")
def services_down(as_json: Json = False, site: SiteOption = None) -> None:
    """Stop them, the proxy first and the stores last. Example: cellworks services down."""
    at(site)
    from orchestration.cli import services

    services.down(as_json=as_json)


@services_app.command("status")
def services_status(as_json: Json = False, site: SiteOption = None) -> None:
    """Show what runs and what answers; code 1 when anything does not. Example: cellworks services status --json."""
    at(site)
    from orchestration.cli import services

    services.show_status(as_json=as_json)
