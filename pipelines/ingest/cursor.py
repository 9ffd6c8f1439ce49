"""Values of a cursor column: which ones can say how far a table was read, as text and back."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from pipelines.control_plan.errors import CellworksError

# Text is a moment or a date in ISO 8601, as databases without such types keep it: its order is that of time.
CursorValue = int | datetime | date | str
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def cursor_value(found: object, source: str, column: str) -> CursorValue:
    """A value as the database gave it, judged.

    Args:
        found: the value.
        source: `database.table`, for the message.
        column: the cursor column, for the message.

    Raises:
        CellworksError: it is neither a whole number nor a moment nor a date.
    """
    if isinstance(found, int | date):  # a datetime is a date
        return found
    if isinstance(found, Decimal | float) and found == found // 1:
        return int(found)
    if isinstance(found, str) and _is_moment(found):
        return found
    raise CellworksError(
        f"the cursor column '{column}' can't say how far the table was read",
        expected="whole numbers, or moments or dates (as text in ISO 8601, all in one form)",
        found=f"{str(found)[:100]!r} ({type(found).__name__})",
        mend="name another `cursor_column` under `sources:` in site.yaml",
        where=source,
    )


def like(value: CursorValue, kept: str, source: str, column: str) -> CursorValue:
    """The value that the last offset holds as text, in the type that the database compares.

    Args:
        value: a value of the column today.
        kept: the offset's text.
        source: `database.table`, for the message.
        column: the cursor column, for the message.

    Raises:
        CellworksError: the column held values of another kind then.
    """
    try:
        if isinstance(value, int):
            return int(kept)
        if isinstance(value, str):
            datetime.fromisoformat(kept)
            return kept
        return datetime.fromisoformat(kept) if isinstance(value, datetime) else date.fromisoformat(kept)
    except ValueError:
        raise CellworksError(
            f"the cursor column '{column}' holds values of another kind than when the table was read last",
            expected=f"values like '{kept}'",
            found=f"'{value}'",
            mend="name the former `cursor_column`; for another one, deliver through a view of a new name",
            where=source,
        ) from None


def position(value: CursorValue) -> int:
    """Where a row stands: the integer, or microseconds since 1970 in UTC."""
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return ((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
