"""`up`, `down` and `status` of the servers of one machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Final

import yaml
from filelock import FileLock, Timeout

from orchestration import progress
from orchestration.services import credentials, leftovers, supervisor
from orchestration.services.choice import Wanted, choose, choose_beside
from orchestration.services.layout import Service, mark, require_programs, services_of
from orchestration.services.probes import UnhealthyError, http, postgres
from orchestration.services.settings import HOST, Place, Settings, load, save
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

_STAGE_PATIENCE_S: Final = 180.0
_RUNNING_PATIENCE_S: Final = 600.0
"""For a server that runs and was not started again: on a busy machine it may take minutes until it answers."""
_GLANCE_S: Final = 0.25
_LOCK_S: Final = 5.0
Told = Callable[[str], None]
Prepare = Callable[[list[dict[str, str]]], None]


def up(home: Home, wanted: Wanted, prepare: Prepare, told: Told) -> None:
    """Start what does not run, stage by stage, each once the one before is healthy.

    Args:
        home: the instance.
        wanted: what is asked for.
        prepare: called with each site's environment once the stores answer, before Dagster starts.
        told: called with the name of each server that became healthy.

    Raises:
        CellworksError: a program is missing, or a server does not become healthy; then what this call started is
            stopped again, and what ran before runs on.
    """
    place = Place.of(home).ensure()
    with _alone(place):
        if supervisor.is_running(place):
            _begin_more(home, place, wanted, prepare, told)
        else:
            _begin_anew(home, place, wanted, prepare, told)


def _begin_anew(home: Home, place: Place, wanted: Wanted, prepare: Prepare, told: Told) -> None:
    leftovers.end(mark(home))  # of a supervisor that died: they hold the ports that are asked for
    settings = choose(place, wanted)
    require_programs(settings)
    _lay_out(home, place, settings)
    supervisor.start(place, settings)
    try:
        _start(home, settings, frozenset(), prepare, told)
    except BaseException:
        _stop(home, settings)
        raise


def _begin_more(home: Home, place: Place, wanted: Wanted, prepare: Prepare, told: Told) -> None:
    """Start what does not run beside what does; the watch is stopped before its settings change, and begins after."""
    before, settings = choose_beside(_running(place), wanted)
    ran = supervisor.at_work(before)
    if settings != before:
        require_programs(settings)
    try:
        if settings != before:
            supervisor.finish(before, supervisor.WATCH)
            _let_know(home, place, settings)
        _start(home, settings, ran, prepare, told)
    except BaseException:
        _stop_but(home, settings, ran)
        if settings != before:
            _let_know(home, place, before)
            if supervisor.WATCH in ran:
                supervisor.begin(before, supervisor.WATCH)
        raise


def down(home: Home, told: Told = lambda _: None) -> bool:
    """Stop everything, the door first and the stores last; whatever a server left behind is ended too.

    Settings that can't be read are left as they are, and keep nothing running.

    Returns:
        Whether anything ran.
    """
    place = Place.of(home)
    if not place.settings.exists():
        return False
    with _alone(place):
        return _stop(home, _readable(place), told)


def status(home: Home) -> dict[str, Any]:
    """What runs and what answers, in the form that `services status --json` promises."""
    place = Place.of(home)
    settings = load(place)
    if settings is None or not supervisor.is_running(place):
        return {"running": False, "healthy": False, "proxy": None, "environment": None, "services": []}
    states = supervisor.states(settings)
    found = [_told(each, states.get(each.name, {}), place) for each in services_of(home, settings)]
    found += _given(settings, place)
    return {
        "running": True,
        "healthy": all(each["healthy"] for each in found),
        "proxy": None if settings.stores_only or settings.is_guarded else f"http://{HOST}:{settings.port}",
        "environment": str(place.environment),
        "services": found,
    }


def _lay_out(home: Home, place: Place, settings: Settings) -> None:
    credentials.write_files(place, settings, home.root)
    save(place, settings)
    servers = [
        {"grpc_server": {"host": HOST, "port": settings.ports[f"code-{name}"], "location_name": name}}
        for name in settings.site_names
    ]
    place.workspace.write_text(yaml.safe_dump({"load_from": servers}, sort_keys=False), encoding="utf-8")
    supervisor.write(home, settings, services_of(home, settings))


def _let_know(home: Home, place: Place, settings: Settings) -> None:
    """Let the supervisor know of the servers of these settings; those of them that run go on meanwhile."""
    _lay_out(home, place, settings)
    supervisor.reread(settings)


def _start(
    home: Home,
    settings: Settings,
    ran: Collection[str],
    prepare: Prepare,
    told: Told,
) -> None:
    services = services_of(home, settings)
    stores = [each for each in services if each.stage == 0]
    others = [each for each in services if each.stage > 0]
    _start_together(home, settings, stores, told)
    if not {each.name for each in services} <= set(ran):  # else a second `up` would wait for whoever writes the lake
        place, sites = Place.of(home), range(len(settings.sites))
        prepare([credentials.environment(place, settings, home.root, site) for site in sites])
    for _, members in groupby(others, key=lambda each: each.stage):
        _start_together(home, settings, list(members), told)
    supervisor.begin(settings, supervisor.WATCH)


def _start_together(home: Home, settings: Settings, group: list[Service], told: Told) -> None:
    for each in group:
        supervisor.begin(settings, each.name)
    for each in group:
        progress.begin(f"server {each.name}")
        _await(home, settings, each)
        told(each.name)


def _await(home: Home, settings: Settings, service: Service) -> None:
    began, pids = time.monotonic(), set[int]()
    while True:
        state = supervisor.states(settings).get(service.name, {})
        pids |= {state["pid"]} if state.get("pid") else set()
        runs_on = state.get("statename") == "RUNNING" and len(pids) == 1
        patience_s = _RUNNING_PATIENCE_S if runs_on else _STAGE_PATIENCE_S
        try:
            service.probe()
        except UnhealthyError as problem:
            found = str(problem)
        else:
            if state.get("statename") in {"STARTING", "RUNNING"}:
                return
            found = f"another process answers at {service.address}"
        if state.get("statename") == "FATAL":
            found = f"it ended {state.get('spawnerr') or ''}".strip()
            break
        waited_s = time.monotonic() - began
        if waited_s >= patience_s:
            break
        progress.advance(f"s waited, {found}", int(waited_s), int(patience_s))
        time.sleep(_GLANCE_S)
    log = Place.of(home).logs / f"{service.name}.log"
    raise CellworksError(
        f"{service.name} does not become healthy, so what was started with it was stopped",
        expected=f"an answer within {patience_s:.0f} s",
        found=found,
        mend=f"read the end of {log}",
        where=service.address,
    )


def _stop_but(home: Home, settings: Settings, ran: Collection[str]) -> None:
    """Stop what did not run before."""
    for name in _last_first(home, settings):
        if name not in ran:
            supervisor.finish(settings, name)


def _readable(place: Place) -> Settings | None:
    """The settings; None where they can't be read, which the next `up` tells."""
    try:
        return load(place)
    except CellworksError:
        return None


def _stop(home: Home, settings: Settings | None, told: Told = lambda _: None) -> bool:
    place = Place.of(home)
    ran = supervisor.is_running(place)
    if ran:
        # One whose socket is gone or unknown can't be asked for one after the other; it stops them all by itself.
        if settings is not None and supervisor.answers(settings):
            for name in _last_first(home, settings):
                supervisor.finish(settings, name)
                told(name)
        supervisor.stop(place, settings)
    return leftovers.end(mark(home)) > 0 or ran


def _last_first(home: Home, settings: Settings) -> tuple[str, ...]:
    """The servers from the last to the first, after the watch, which would start again what is stopped."""
    return (supervisor.WATCH, *(each.name for each in reversed(services_of(home, settings))))


def _running(place: Place) -> Settings | None:
    """The settings of what runs; None where their file is gone.

    Raises:
        CellworksError: the supervisor can't be spoken to.
    """
    settings = load(place)
    if settings is not None and not supervisor.answers(settings):
        raise CellworksError(
            "the services of this home run, but their supervisor can't be spoken to; nothing was changed",
            expected=f"an answer at {settings.socket}",
            found="none, as where somebody tidied up the temporary folder",
            mend="`cellworks services down` ends it with its servers, then `cellworks services up`",
            where=str(place.supervisor_pid),
        )
    return settings


def _told(service: Service, state: dict[str, Any], place: Place) -> dict[str, Any]:
    detail = ""
    try:
        service.probe()
    except UnhealthyError as problem:
        detail = str(problem)
    name = str(state.get("statename", "UNKNOWN")).lower()
    is_up = name in {"starting", "running"}
    return {
        "name": service.name,
        "state": name,
        "healthy": is_up and not detail,
        "detail": detail,
        "pid": state.get("pid") or None,
        "up_s": state["now"] - state["start"] if is_up else None,
        "address": service.address,
        "log": str(place.logs / f"{service.name}.log"),
    }


def _given(settings: Settings, place: Place) -> Iterator[dict[str, Any]]:
    """The stores that were given and not started here."""
    probes: list[tuple[str, str, Callable[[], None]]] = []
    if not settings.owns_postgres:
        url = settings.postgres_url
        probes.append(("postgres", url, lambda: postgres(url, place.passwords)))
    if not settings.owns_s3:
        probes.append(("s3", settings.endpoint, lambda: http(settings.endpoint, below=500)))
    for name, address, probe in probes:
        detail = ""
        try:
            probe()
        except UnhealthyError as problem:
            detail = str(problem)
        yield {
            "name": name, "state": "given", "healthy": not detail, "detail": detail,
            "pid": None, "up_s": None, "address": address, "log": None,
        }  # fmt: skip


@contextmanager
def _alone(place: Place) -> Iterator[None]:
    lock = FileLock(place.lock)
    try:
        lock.acquire(timeout=_LOCK_S)
    except Timeout as error:
        raise CellworksError(
            "another `services up` or `services down` of this home is at work",
            mend="wait until it is done",
            where=str(place.lock),
        ) from error
    try:
        yield
    finally:
        lock.release()
