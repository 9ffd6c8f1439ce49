"""The public keys of the identity provider, over HTTP."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from pipelines.control_plan.access import Issuer
from pipelines.control_plan.errors import CellworksError

_TIMEOUT_S = 10.0
_LONGEST = 1_000_000


def fetch_keys(issuer: Issuer) -> dict[str, Any]:
    """The issuer's JSON Web Key Set.

    Raises:
        CellworksError: the provider does not answer, or with something else.
    """
    return _document(keys_address(issuer))


def keys_address(issuer: Issuer, ca_bundle: Path | None = None) -> str:
    """Where the issuer's keys are; its discovery document says so where the site names no address.

    Args:
        issuer: the provider.
        ca_bundle: certificates, PEM, of whoever signed the provider's; None for those that this Python knows.

    Raises:
        CellworksError: the provider does not answer, or with something else.
    """
    if issuer.jwks_url is not None:
        return issuer.jwks_url
    place = f"{issuer.url.rstrip('/')}/.well-known/openid-configuration"
    found = _document(place, ca_bundle)
    keys_at = found.get("jwks_uri")
    if found.get("issuer") != issuer.url or not isinstance(keys_at, str):
        raise _unusable(place, "the discovery document of this very issuer, with jwks_uri", str(found.get("issuer")))
    # As for the addresses in site.yaml: whoever could change the keys under way could sign for anybody.
    if urlsplit(keys_at).scheme != "https" and urlsplit(issuer.url).scheme == "https":
        raise _unusable(place, "jwks_uri with https", keys_at)
    return keys_at


def _document(url: str, ca_bundle: Path | None = None) -> dict[str, Any]:
    try:
        trusted = True if ca_bundle is None else ssl.create_default_context(cafile=ca_bundle)
        with httpx.stream("GET", url, timeout=_TIMEOUT_S, follow_redirects=False, verify=trusted) as answer:
            answer.raise_for_status()
            content = b""
            for part in answer.iter_bytes():
                content += part
                if len(content) > _LONGEST:
                    raise _unusable(url, f"at most {_LONGEST} bytes", "more")
        found = httpx.Response(200, content=content).json()
    except (httpx.HTTPError, OSError, ValueError) as error:
        raise _unusable(url, "a JSON document", f"{type(error).__name__}: {error}") from error
    if not isinstance(found, dict):
        raise _unusable(url, "a JSON object", type(found).__name__)
    return found


def _unusable(url: str, expected: str, found: str) -> CellworksError:
    mend = "try again, or correct `access.issuer` in site.yaml; nothing was changed"
    return CellworksError(
        "the identity provider's keys can't be read", expected=expected, found=found, mend=mend, where=url
    )
