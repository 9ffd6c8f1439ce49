"""Whose signature on the object store's certificate is believed: by boto3 and DuckDB alike."""

from __future__ import annotations

import socket
import ssl
from functools import cache
from typing import Final
from urllib.parse import urlsplit

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.stores import CA_VARIABLE, ObjectStore, no_authorities

_PATIENCE_S: Final = 10.0


def authorities(objects: ObjectStore) -> str:
    """The file (PEM) of the authorities that are believed: what `AWS_CA_BUNDLE` names, else what boto3 brings along."""
    if objects.ca_file is not None:
        return objects.ca_file
    from botocore.httpsession import get_cert_path

    return str(get_cert_path(verify=True))


def require_trusted(objects: ObjectStore) -> None:
    """Refuse an object store whose certificate is not believed, before anybody speaks to it.

    The libraries refuse it as well, but try again for minutes first and name no variable. It is looked at once by each
    process. Who does not answer is left to them.

    Raises:
        CellworksError: no authority signed the certificate, it is another name's or out of its time.
    """
    place = urlsplit(objects.endpoint)
    if place.scheme == "https":
        _look(str(place.hostname), place.port or 443, authorities(objects))


@cache
def _look(host: str, port: int, file: str) -> None:
    try:
        context = ssl.create_default_context(cafile=file)
    except OSError as error:  # also OpenSSL's own errors
        raise no_authorities(file, error.strerror or str(error)) from error
    try:
        with (
            socket.create_connection((host, port), timeout=_PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            pass
    except ssl.SSLCertVerificationError as error:
        raise CellworksError(
            "the certificate of the object store is not believed, so it was not spoken to",
            expected=f"a certificate of {host} in its time, signed by an authority in {file}",
            found=f"{error.verify_message} ({host}:{port})",
            mend=f"name the file (PEM) of your authority's certificates with {CA_VARIABLE}, "
            "or the endpoint by the name in its certificate",
            where=CA_VARIABLE,
        ) from error
    except OSError:
        return
