"""What the supervisor does not see: a server that runs but does not answer, and one that it has given up.

`python -m orchestration.services.watch HOME watch`, itself one of the supervisor's processes.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from orchestration.services import supervisor
from orchestration.services.layout import Service, services_of
from orchestration.services.probes import NotKnownError, UnhealthyError
from orchestration.services.settings import Place, load
from pipelines.lake.home import Home

EVERY_S: Final = 10.0
STRIKES: Final = 6
"""Probes in a row that must fail; with `EVERY_S` a minute, in which a server may be busy."""
GRACE_S: Final = 120.0
"""After its start a server is left alone for so long: the first start of one makes tables."""
AGAIN_S: Final = 60.0


class Watch:
    """Counts failures and says what to restart."""

    def __init__(self) -> None:
        self._strikes: dict[str, int] = {}
        self._given_up: dict[str, float] = {}

    def judge(self, service: Service, state: Mapping[str, Any], now_s: float) -> str | None:
        """Why this server is to be restarted now; None to leave it.

        Args:
            service: the server.
            state: what the supervisor says of it (`statename`, `start`, `now`).
            now_s: seconds of a clock that does not jump.
        """
        if state["statename"] in {"FATAL", "EXITED"}:
            since = self._given_up.setdefault(service.name, now_s)
            if now_s - since < AGAIN_S:
                return None
            del self._given_up[service.name]
            return "the supervisor had given it up"
        self._given_up.pop(service.name, None)
        if state["statename"] != "RUNNING" or state["now"] - state["start"] < GRACE_S:
            self._strikes.pop(service.name, None)
            return None
        try:
            service.probe()
        except NotKnownError:  # another server's fault, which has its own strikes
            return None
        except UnhealthyError as problem:
            return self._strike(service.name, problem)
        self._strikes.pop(service.name, None)
        return None

    def _strike(self, name: str, problem: UnhealthyError) -> str | None:
        self._strikes[name] = self._strikes.get(name, 0) + 1
        if self._strikes[name] < STRIKES:
            return None
        del self._strikes[name]
        return f"{STRIKES} probes failed, the last: {problem}"


def run(home: Home) -> None:
    """Watch until the supervisor ends this process."""
    settings = load(Place.of(home))
    if settings is None:
        sys.exit("no settings: run `cellworks services up`")
    watch, services = Watch(), services_of(home, settings)
    while True:
        states = supervisor.states(settings)
        for service in services:
            state = states.get(service.name)
            why = None if state is None else watch.judge(service, state, time.monotonic())
            if why is not None:
                logging.warning("restarting %s: %s", service.name, why)
                supervisor.finish(settings, service.name)
                supervisor.begin(settings, service.name)
        time.sleep(EVERY_S)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(message)s")
    run(Home(Path(sys.argv[1])))
