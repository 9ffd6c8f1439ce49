"""Commands of people who decide: actions, quarantine, audit."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli import people
from orchestration.cli.options import ActionId, Json, Limit, SiteOption, Who, Why, at

app = typer.Typer()
actions_app = typer.Typer(no_args_is_help=True, help="Proposed actions: list them, approve or reject one.")
app.add_typer(actions_app, name="actions")
quarantine_app = typer.Typer(no_args_is_help=True, help="Rows and files that did not fit.")
app.add_typer(quarantine_app, name="quarantine")
audit_app = typer.Typer(no_args_is_help=True, help="Who did what: list it, look whether somebody changed it.")
app.add_typer(audit_app, name="audit")
access_app = typer.Typer(no_args_is_help=True, help="Who may do what: the rules that the lake knows.")
app.add_typer(access_app, name="access")


@actions_app.command("list")
def list_actions(
    of: Annotated[str | None, typer.Option(help="Only this solution: stage/slug or slug.")] = None,
    as_json: Json = False,
    limit: Limit = 30,
    site: SiteOption = None,
) -> None:
    """List actions, newest first. Example: cellworks actions list --of grading --json."""
    at(site)
    people.show_actions(of, limit, as_json=as_json)


@actions_app.command("causes")
def action_causes(as_json: Json = False, site: SiteOption = None) -> None:
    """Show what the newest actions have in common. Example: cellworks actions causes --json."""
    at(site)
    from orchestration.cli import causes

    causes.show_causes(as_json=as_json)


@actions_app.command()
def approve(action_id: ActionId, why: Why, who: Who = None, as_json: Json = False, site: SiteOption = None) -> None:
    """Approve an action. Example: cellworks actions approve 1a2b3c4d --why "seen on the line"."""
    at(site)
    people.decide_action(action_id, "approved", who, why, as_json=as_json)


@actions_app.command()
def reject(action_id: ActionId, why: Why, who: Who = None, as_json: Json = False, site: SiteOption = None) -> None:
    """Reject an action. Example: cellworks actions reject 1a2b3c4d --why "machine was serviced"."""
    at(site)
    people.decide_action(action_id, "rejected", who, why, as_json=as_json)


@actions_app.command("modes")
def action_modes(as_json: Json = False, site: SiteOption = None) -> None:
    """Show what each kind of action may do. Example: cellworks actions modes --json."""
    at(site)
    people.show_modes(as_json=as_json)


@actions_app.command("accept-modes")
def accept_action_modes(why: Why, who: Who = None, as_json: Json = False, site: SiteOption = None) -> None:
    """Accept modes and limits as site.yaml has them. Example: cellworks actions accept-modes --why "a calm month"."""
    at(site)
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
    at(site)
    from orchestration.cli import quarantine

    quarantine.show(feed, limit, all_records=all_records, as_json=as_json)


@quarantine_app.command("replay")
def replay_quarantine(
    why: Why,
    ids: Annotated[list[int] | None, typer.Argument(help="Numbers of the records; none: all that are open.")] = None,
    who: Who = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Try again after plan, feed or file was mended. Example: cellworks quarantine replay 17 18 --why "unit mended"."""
    at(site)
    from orchestration.cli import quarantine

    quarantine.replay(ids or [], who, why, as_json=as_json)


@audit_app.command("list")
def list_acts(
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Only what waits for another person, oldest first.")
    ] = False,
    as_json: Json = False,
    limit: Limit = 30,
    site: SiteOption = None,
) -> None:
    """List who did what, newest first. Example: cellworks audit list --waiting --json."""
    at(site)
    from orchestration.cli import audit

    show = audit.show_waiting if waiting else audit.show
    show(limit, as_json=as_json)


@audit_app.command("verify")
def verify_audit(
    head: Annotated[
        list[str] | None, typer.Option(help="A last row that you noted, as number:hash; may be repeated.")
    ] = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Find the first row changed, removed or put in; exit code 1. Example: cellworks audit verify --json."""
    at(site)
    from orchestration.cli import audit

    audit.verify(head or [], as_json=as_json)


@audit_app.command("accept")
def accept_audit(why: Why, who: Who = None, as_json: Json = False, site: SiteOption = None) -> None:
    """Go on after a fault that was looked into. Example: cellworks audit accept --why "restored, note was lost"."""
    at(site)
    from orchestration.cli import audit

    audit.accept(who, why, as_json=as_json)


@access_app.command("show")
def show_access(as_json: Json = False, site: SiteOption = None) -> None:
    """Show the rules in force beside the site's file. Example: cellworks access show --json."""
    at(site)
    from orchestration.cli import access

    access.show(as_json=as_json)


@access_app.command("adopt")
def adopt_access(why: Why, who: Who = None, as_json: Json = False, site: SiteOption = None) -> None:
    """Bring the rules of site.yaml into force. Example: cellworks access adopt --why "Li Wei joins the admins"."""
    at(site)
    from orchestration.cli import access

    access.adopt(who, why, as_json=as_json)
