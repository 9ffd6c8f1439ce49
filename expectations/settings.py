"""Settings of the generated checks: expectations/settings.yaml, and a site's own expectations.yaml over it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site

_FILE = Path(__file__).with_name("settings.yaml")
_SITE_FILE = "expectations.yaml"
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GaugeSettings(_Model):
    """When a gauge counts as stuck or as read in a wrong unit; see settings.yaml."""

    unit_factor: Annotated[float, Field(gt=1)]
    group_h: Annotated[int, Field(gt=0)]
    standing_share: Share
    group_min_count: Annotated[int, Field(gt=1)]
    last_count: Annotated[int, Field(gt=1)]
    noise_to_resolution: Positive


class QuarantineSettings(_Model):
    """How much of a feed's newest batch may lie in quarantine; see settings.yaml."""

    most_share: Share
    least_count: Annotated[int, Field(gt=0)]


class FeedSettings(_Model):
    """How long a feed may be silent, in hours, and how few rows a day of it may have; None for anything."""

    stale_after_h: Positive | None = None
    first_after_h: Positive | None = None
    least_daily_share: Share | None = None


class Settings(_Model):
    """All settings; see settings.yaml."""

    reference_grace_h: Annotated[float, Field(ge=0)]
    reference_grace_share: Share
    gauges: GaugeSettings
    quarantine: QuarantineSettings
    default: FeedSettings
    feeds: dict[str, FeedSettings]
    same_rows: dict[str, str]

    def of_feed(self, feed: str) -> FeedSettings:
        """Settings of a feed, the defaults filled in."""
        given = self.feeds.get(feed, FeedSettings())
        return self.default.model_copy(update={name: getattr(given, name) for name in given.model_fields_set})


def load_settings(site: Site) -> Settings:
    """Settings of a site.

    Raises:
        CellworksError: a file is no YAML mapping or holds a wrong key or value.
    """
    return _load(_FILE, site.file(_SITE_FILE), _stamp(site.file(_SITE_FILE)))


def _stamp(path: Path) -> tuple[int, int] | None:
    return (path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else None


@cache
def _load(base: Path, own: Path, stamp: tuple[int, int] | None) -> Settings:
    merged = read_yaml(base)
    if stamp is not None:
        merged = _merge(merged, read_yaml(own))
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise setting_error(own if stamp else base, error) from error


def _merge(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    both = dict(base)
    for key, value in own.items():
        nested = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = _merge(both[key], value) if nested else value
    return both


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        CellworksError: it is no YAML, or something else than a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CellworksError("not a YAML file", found=str(error), where=str(path)) from error
    if not isinstance(content, dict):
        raise CellworksError("not a mapping", expected="key: value", found=type(content).__name__, where=str(path))
    return content


def setting_error(path: Path, error: ValidationError) -> CellworksError:
    """What pydantic found, for a person."""
    problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return CellworksError("wrong expectations", found="; ".join(problems[:10]), where=str(path))
