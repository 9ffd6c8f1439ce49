"""Dask's cluster: the one that its own configuration names, else two workers of this machine."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from pipelines.control_plan.errors import CellworksError

_PACKAGES: Final = ("dask", "distributed")
_LOCAL_WORKERS: Final = 2
_PATIENCE_S: Final = 60


def require_dask(where: str) -> None:
    """Refuse to go on without the optional packages.

    Raises:
        CellworksError: one of them is not installed.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise CellworksError(
            "train_on: dask needs packages that are not installed",
            expected=" and ".join(_PACKAGES),
            found=f"no {' and no '.join(missing)}",
            mend="`make setup` in the clone brings the extra `dask`, here and on the workers; or train_on: machine",
            where=where,
        )


@contextmanager
def workers(n_threads: int) -> Iterator[tuple[Any, list[str]]]:
    """A client of the cluster and the addresses of its workers.

    Args:
        n_threads: threads of this machine's own workers together; those of a cluster have their own.

    Raises:
        CellworksError: the scheduler does not answer, or has no worker.
    """
    import dask
    import distributed

    address = dask.config.get("scheduler-address", None)
    if address is None:
        threads = max(1, n_threads // _LOCAL_WORKERS)
        # Nothing of it is to be seen from outside: it listens on the loopback address, without a page.
        with (
            distributed.LocalCluster(_LOCAL_WORKERS, threads_per_worker=threads, dashboard_address=None) as local,
            distributed.Client(local) as client,
        ):
            yield client, _addresses(client)
        return
    try:
        client = distributed.Client(address, timeout=_PATIENCE_S)
    except OSError as error:
        raise CellworksError(
            "Dask's scheduler does not answer",
            expected=f"a scheduler at {address}",
            found=str(error).splitlines()[0] if str(error) else "no answer",
            mend="start it with `dask scheduler`, or correct DASK_SCHEDULER_ADDRESS",
        ) from error
    with client:
        yield client, _addresses(client)


def _addresses(client: Any) -> list[str]:
    found = sorted(client.scheduler_info(n_workers=-1)["workers"])
    if not found:
        raise CellworksError(
            "Dask's cluster has no worker",
            expected="at least one",
            found=f"none at {client.scheduler.address}",
            mend="start some with `dask worker ADDRESS`",
        )
    return found
