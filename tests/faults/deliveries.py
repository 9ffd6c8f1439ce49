"""Deliveries as a system of the plant makes them: whole in their place at once."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.lake.home import Home

BATCHES, WEATHER = "mes__batch_material", "ems__weather"
_HEADER = "slurry_batch_id,material_lot_id,material_code,mass_kg,event_at,known_at"


def put(home: Home, feed: str, name: str, lines: Iterable[str]) -> None:
    """Deliver a file of text lines under this name."""
    folder = home.drop_dir / feed
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{name}.part"
    part.write_text("\n".join([*lines, ""]), encoding="utf-8")
    part.rename(folder / name)


def event_of(number: int) -> str:
    """When what a delivery tells of happened."""
    return f"2026-09-{1 + number % 28:02d} 03:00:00"


def put_batches(home: Home, number: int, lines: Iterable[str]) -> None:
    """Deliver a file of batches' materials: given rows below the header."""
    put(home, BATCHES, f"{number}.csv", [_HEADER, *lines])


def put_lot(home: Home, number: int, rows: int) -> None:
    """Deliver one lot of material, which went into so many batches."""
    event = event_of(number)
    put_batches(home, number, (f"B{number}_{row},L{number},lfp,5,{event},{event}" for row in range(rows)))
