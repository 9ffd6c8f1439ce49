"""The night's end: what came in, what was checked, learnt, promoted and proposed, and where to look next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from orchestration.cli import console
from orchestration.cli.status import show_kpis, status
from orchestration.environment import HOME_VARIABLE, default_home, default_site, project_root, site_folder
from orchestration.plant import Plant
from pipelines.lake.home import Home

_SHOWN = 20


def night_summary(here: Plant, result: dict[str, Any]) -> dict[str, Any]:
    """What the run did, with the state of every solution and the key figures; see `plant_commands.run_night`."""
    return {**result, **status(here)}


def show_night(here: Plant, summary: dict[str, Any]) -> None:
    """Print the night for a person."""
    done = "done" if summary["success"] else "FAILED"
    console.heading(f"Night {done} in {_spoken(summary['seconds'])} (run {summary['run_id'][:8]})")
    _show_inflow(summary)
    _show_checks(summary)
    if summary["models"]:
        console.heading("Models")
    for model in summary["models"]:
        _show_model(model)
    if summary["rules"]:
        console.heading("Rules")
    for rule in summary["rules"]:
        console.line(f"{rule['solution']}  {rule['version']}")
        console.line(_brought(rule), 4)
    if summary["rows"] is not None:  # a whole night, not one solution's
        _show_unlearnt(summary)
    show_kpis(here)
    show_commands()


def _show_inflow(summary: dict[str, Any]) -> None:
    rows = summary["rows"]
    if rows is None:
        return
    by_minute = f" ({rows['telemetry']:,} of them telemetry)" if rows["telemetry"] else ""
    text = f"rows in {rows['in']:,}{by_minute}, quarantined {rows['quarantined']:,}"
    if rows["files_quarantined"]:
        count = rows["files_quarantined"]
        text += f", and {count:,} whole file{'' if count == 1 else 's'}"
    if rows["quarantined"] or rows["files_quarantined"]:
        text += f"  (why: {command('quarantine list')})"
    console.line(text)


def _show_checks(summary: dict[str, Any]) -> None:
    failed = summary["failed_checks"]
    blocking = [each for each in failed if each["blocking"]]
    console.line(
        f"checks passed {summary['checks_passed']:,}, failed {len(failed):,}, of these blocking {len(blocking):,}"
    )
    for each in blocking[:_SHOWN]:
        console.line(f"✗ {each['asset']} {each['check']}: {each['why'] or 'see Dagster'}", 4, "red")
    if len(blocking) > _SHOWN:
        console.line(f"... and {len(blocking) - _SHOWN} more", 4)
    told: dict[str, list[str]] = {}
    for each in failed:
        if not each["blocking"]:
            told.setdefault(each["asset"].rsplit("/", 1)[0], []).append(each["check"])
    for solution, names in told.items():
        console.line(f"{solution}: {', '.join(names)}", 4, "yellow")
    for step, why in summary["failed_steps"].items():
        console.lines(f"✗ step {step}: {why[:1200]}", 4, "red")


def _show_model(model: dict[str, Any]) -> None:
    """What tonight's version reaches beside the baseline, what became of it and why, and what it brought."""
    scored = console.with_interval({part: model[f"metric_{part}"] for part in ("value", "low", "high")})
    console.line(f"{model['solution']}  version {model['version']} ({model['library']}, {model['trials']} trials)")
    naive = f"{console.figure(model['baseline_value'])} of the naive baseline ({model['baseline_name']})"
    console.line(f"{model['metric_name']} {scored} beside {naive}", 4)
    promoted = model["alias"] == "champion"
    why = f"promoted to champion: {model['promotion']}" if promoted else model["promotion"]
    console.line(why, 4, "green" if promoted else "yellow")
    if model["graduation"]:
        console.line(f"the version in the shadow: {model['graduation']}", 4)
    if brought := model["predictions"]:
        console.line(_brought(brought), 4)
    if (watched := model["monitoring"]) and watched["inputs_drifted"]:
        console.line(f"drifted since training: {watched['inputs_drifted']}", 4)


def _brought(predictions: dict[str, Any]) -> str:
    if not predictions["rows"]:
        late = f"; actions proposed {predictions['actions']:,}" if predictions["actions"] else ""
        return f"no predictions: {predictions['skipped']}{late}"
    text = f"predictions written {predictions['rows']:,}, actions proposed {predictions['actions']:,}"
    return f"{text}; {predictions['held_back']}" if predictions["held_back"] else text


def _show_unlearnt(summary: dict[str, Any]) -> None:
    """Solutions that the night left untrained: failing, never run, or waiting, and for what."""
    done = {each["solution"] for each in (*summary["models"], *summary["rules"])}
    for each in summary["solutions"]:
        name = f"{each['stage']}/{each['slug']}"
        if name not in done and (each["state"] != "working" or each["reason"]):
            state = "waiting" if each["state"] == "working" else each["state"]
            console.lines(f"{name}  {state}{': ' if each['reason'] else ''}{each['reason']}")


def show_commands() -> None:
    """Print where a person goes on."""
    console.heading("Next")
    pages = (
        (("Dagster, http://127.0.0.1:3000", "ui dagster"), ("MLflow, http://127.0.0.1:5000", "ui mlflow"))
        if Home.from_env().stores.lake_url is None
        else (("where Dagster and MLflow are", "services status"),)
    )
    for title, arguments in (
        *pages,
        ("what the solutions propose", "actions list"),
        ("the few causes behind it", "actions causes"),
    ):
        console.line(f"{title}: {command(arguments)}")


def command(arguments: str) -> str:
    """The command line as this person has to type it: with the home and the site where they are not the defaults."""
    root = project_root()
    program = root / ".venv" / "bin" / "cellworks"
    shown = program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program
    parts = [str(shown), arguments]
    home, site = Home.from_env().root, site_folder().resolve()
    if home != default_home():
        parts.insert(0, f"{HOME_VARIABLE}={shlex.quote(str(home))}")
    if site != default_site():
        parts.append(f"--site {shlex.quote(str(site))}")
    return " ".join(parts)


def _spoken(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
