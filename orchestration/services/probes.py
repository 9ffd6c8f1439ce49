"""Whether a server answers. Each probe returns, or raises `UnhealthyError` with what is wrong in a few words."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

_PATIENCE_S = 5.0


class UnhealthyError(Exception):
    """A server does not answer as it should."""


class NotKnownError(UnhealthyError):
    """Whether a server is well can't be told, because the one that would tell it does not answer."""


def http(url: str, *, below: int = 400) -> None:
    """Refuse a server that does not answer over HTTP, or with a status of `below` or more."""
    status, _ = _answer(urllib.request.Request(url))  # noqa: S310 - our own loopback addresses, or the endpoint given
    if status >= below:
        raise UnhealthyError(f"HTTP {status}")


def closed(url: str) -> None:
    """Refuse an MLflow that is not well, or that tells somebody without a password anything."""
    http(f"{url}/health")
    status, _ = _answer(urllib.request.Request(f"{url}/version"))  # noqa: S310 - our own loopback address
    if status != 401:
        raise UnhealthyError(f"HTTP {status} for a stranger, who must be refused (401): it runs without its auth app")


def postgres(url: str, passwords: Path) -> None:
    """Refuse a PostgreSQL that takes no statement."""
    import psycopg2

    from pipelines.lake.servers import at_postgres

    own = {"passfile": str(passwords)} if passwords.exists() else {}
    try:
        con = psycopg2.connect(at_postgres(url), connect_timeout=int(_PATIENCE_S), application_name="probe", **own)
    except psycopg2.OperationalError as error:
        raise UnhealthyError(str(error).strip().splitlines()[-1]) from error
    try:
        with con.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error as error:
        raise UnhealthyError(str(error).strip()) from error
    finally:
        con.close()


def grpc(host: str, port: int) -> None:
    """Refuse a code server that does not serve, by the health protocol of gRPC."""
    import grpc as library
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with library.insecure_channel(f"{host}:{port}") as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service="DagsterApi"), timeout=_PATIENCE_S
            )
        except library.RpcError as error:
            raise UnhealthyError(error.code().name.lower()) from error
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise UnhealthyError("not serving")


def daemon(graphql: str) -> None:
    """Refuse a daemon whose parts have not been heard of lately, as the web server tells.

    Raises:
        NotKnownError: the web server does not tell.
        UnhealthyError: a part is silent.
    """
    query = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(graphql, body, {"Content-Type": "application/json"})  # noqa: S310 - loopback
    try:
        status, answer = _answer(request)
    except UnhealthyError as problem:
        raise NotKnownError(f"not known: the web server: {problem}") from problem
    if status != 200:
        raise NotKnownError(f"not known: the web server says HTTP {status}")
    try:
        parts = json.loads(answer)["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
    except (ValueError, TypeError, KeyError) as error:  # GraphQL tells an error of its own with status 200, too
        raise NotKnownError(f"not known: the web server says {answer.decode(errors='replace')[:200]}") from error
    silent = [each["daemonType"].lower() for each in parts if each["required"] and not each["healthy"]]
    if silent:
        raise UnhealthyError(f"no heartbeat of {', '.join(silent)}")


def _answer(request: urllib.request.Request) -> tuple[int, bytes]:
    # A proxy of the machine's environment is not asked for what is on this machine.
    opener = urllib.request.build_opener(*_handlers(request.host))
    try:
        with opener.open(request, timeout=_PATIENCE_S) as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise UnhealthyError(str(getattr(reason, "strerror", None) or reason or type(error).__name__)) from error


def _handlers(host: str) -> list[urllib.request.BaseHandler]:
    is_here = host.partition(":")[0] in {"127.0.0.1", "localhost"}
    return [urllib.request.ProxyHandler({} if is_here else None)]


def alive(pid: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
