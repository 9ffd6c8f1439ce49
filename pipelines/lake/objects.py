"""Files that join the lake's data as they are, whichever kind of store that is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.lake import traffic
from pipelines.lake.certificates import require_trusted
from pipelines.lake.stores import ObjectStore, Stores


def put(stores: Stores, file: Path, key: str, *, is_ours: bool) -> str:
    """Bring a local file to its place below the lake's data, so that it outlives a power cut from then on.

    Args:
        stores: the instance's stores.
        file: the file.
        key: where to, relative to the lake's data, parted by slashes.
        is_ours: whether the file may be moved; else it is copied.

    Returns:
        Its place, as DuckDB opens it.

    Raises:
        OSError: it can't be written.
    """
    target = f"{stores.data_path}{key}"
    if stores.objects is None:
        _put_file(file, Path(target), is_ours=is_ours)
    else:
        _upload(stores.objects, file, target)
        if is_ours:
            file.unlink()
    return target


def _put_file(file: Path, target: Path, *, is_ours: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if is_ours:
        file.replace(target)
    else:
        shutil.copyfile(file, target)
    with target.open("rb") as written:
        os.fsync(written.fileno())


def _upload(objects: ObjectStore, file: Path, target: str) -> None:
    parts = urlsplit(target)
    try:
        client(objects).upload_file(str(file), parts.netloc, parts.path.lstrip("/"))
    except errors() as error:
        raise OSError(f"{target} can't be written: {error}") from error
    traffic.count(0, file.stat().st_size)


def errors() -> tuple[type[Exception], ...]:
    """What an object store's client raises: its classes have no ancestor of their own in common."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    return Boto3Error, BotoCoreError, ClientError


def client(objects: ObjectStore, attempts: int = 8) -> Any:
    """A client of the store; it tries again, by default for about half a minute, where the service fails.

    Raises:
        CellworksError: the store's certificate is not believed.
    """
    import boto3
    from botocore.config import Config

    require_trusted(objects)
    settings: dict[str, Any] = {"max_attempts": attempts, "mode": "standard"}
    return boto3.client(
        "s3",
        endpoint_url=objects.endpoint,
        aws_access_key_id=objects.key,
        aws_secret_access_key=objects.secret,
        region_name=objects.region,
        verify=objects.ca_file,
        config=Config(
            retries=settings,
            s3={"addressing_style": "path"},
            # Else a checksum follows what is sent over TLS, without its length before, which not every store takes. The
            # signature holds a hash of it anyway.
            request_checksum_calculation="when_required",
        ),
    )


def ensure_bucket(objects: ObjectStore, attempts: int = 8) -> None:
    """Create the bucket if it is not there.

    Args:
        objects: the store.
        attempts: how often it is tried.

    Raises:
        OSError: the service does not answer, or refuses.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, service = urlsplit(objects.url).netloc, client(objects, attempts)
    try:
        known = {each.get("Name") for each in service.list_buckets().get("Buckets", [])}
        if bucket not in known:
            service.create_bucket(Bucket=bucket)
    except (BotoCoreError, ClientError) as error:
        raise OSError(f"bucket {bucket} at {objects.endpoint}: {error}") from error
