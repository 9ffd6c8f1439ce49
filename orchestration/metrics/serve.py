"""`cellworks metrics serve`: the plant's figures over HTTP, of the loopback address by default, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, start_http_server

from orchestration.metrics.collector import PlantCollector
from orchestration.plant import Plant, plant
from pipelines.control_plan.errors import CellworksError

HOST, PORT = "127.0.0.1", 9464
"""The port that Prometheus' list of exporters keeps for OpenTelemetry's, which nobody else takes."""


@contextmanager
def serving(here: Plant, port: int, fresh_s: float, host: str = HOST) -> Iterator[int]:
    """Serve within the block.

    Args:
        here: the plant.
        port: port of the address; 0 for any that is free.
        fresh_s: how long figures are served before they are read again, s.
        host: address to listen on. There is no login: any but the loopback's is for a network of servers alone.

    Yields:
        The port.

    Raises:
        CellworksError: the port is taken, or the address is none of this machine.
    """
    from dagster import DagsterInstance

    from orchestration.cli.plant_commands import prepare_instance

    prepare_instance(here)
    with DagsterInstance.get() as instance:
        registry = CollectorRegistry()
        for own in (ProcessCollector, PlatformCollector, GCCollector):
            own(registry=registry)
        registry.register(PlantCollector(here, instance, fresh_s))
        try:
            server, thread = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise CellworksError(
                f"port {port} of {host} can't be used",
                expected="a free port of an address of this machine",
                found=error.strerror or str(error),
                mend="stop what listens there, or give another port with --port or address with --host",
            ) from error
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def serve(port: int, fresh_s: float, host: str) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with serving(plant(), port, fresh_s, host) as found:
        print(f"metrics http://{host}:{found}/metrics   Ctrl-C stops", flush=True)  # noqa: T201
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopping", flush=True)  # noqa: T201
