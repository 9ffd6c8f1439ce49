"""`cellworks gateway`: the configuration of the reverse proxy before Dagster and MLflow."""

from __future__ import annotations

from pathlib import Path

from orchestration.cli import console
from orchestration.gateway import PASSPHRASE_VARIABLE, SECRET_VARIABLE, Front, Ports, configuration
from orchestration.plant import plant, require_rules
from orchestration.services.mlflow_login import VIEWER_VARIABLE
from orchestration.services.settings import Place, load
from pipelines.control_plan.errors import CellworksError


def write(
    listen: str, host: str, certificate: Path | None, key: Path | None, ca_bundle: Path | None, *, as_json: bool
) -> None:
    """Write the configuration into the home and say how to start it.

    Args:
        listen: `address:port`.
        host: the name that browsers know it by.
        certificate: TLS certificate; None on the loopback address.
        key: its key.
        ca_bundle: certificates of whoever signed the issuer's.
        as_json: print JSON.
    """
    from pipelines.access.keys import keys_address

    here = plant()
    place = Place.of(here.home)
    ours = load(place)
    if ours is None or not ours.is_guarded:
        raise CellworksError(
            "there are no servers that the gateway could stand before",
            expected="those of `cellworks services up`, started since the site names roles",
            found="none" if ours is None else "servers of a site without roles, which have a door without a login",
            mend="`cellworks services down` if they run, `cellworks services up`, then this again",
            where=str(place.root),
        )
    require_rules(here)
    ports = Ports(ours.ports["webserver"], ours.ports["webserver-view"], ours.ports["mlflow"])
    folder = here.home.root / "gateway"
    pem, pem_key, bundle = (None if path is None else path.resolve() for path in (certificate, key, ca_bundle))
    front = Front(listen, host, folder, pem, pem_key, bundle)
    access = here.site.access
    jwks_url = keys_address(access.issuer, bundle) if access.issuer is not None else ""
    text = configuration(access, front, ports, jwks_url)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "httpd.conf"
    file.write_text(text, encoding="utf-8")
    start = f"apache2 -f {file} -DFOREGROUND"
    variables = [SECRET_VARIABLE, PASSPHRASE_VARIABLE, VIEWER_VARIABLE]
    found = {"file": str(file), "start": start, "environment": variables}
    lines = (
        f"wrote {file}",
        f"Start it with {SECRET_VARIABLE}, {PASSPHRASE_VARIABLE} and {VIEWER_VARIABLE} in its environment:",
        f"  . {place.gateway}   (has {VIEWER_VARIABLE})",
        f"  {start}",
    )
    console.tell(found, "\n".join(lines), as_json=as_json)
