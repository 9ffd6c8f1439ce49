"""Which trial next, as its YAML says it. Light: pydantic only, safe to import anywhere."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from models.solution import LonePart, Part


class Varied(Part):
    """A setting of the trials."""

    of: str = Field(description="column with its value in the trials so far")
    low: float = Field(description="lowest value to try")
    high: float = Field(description="highest value to try")
    step: float = Field(default=0.0, ge=0.0, description="step in which it can be set; 0: any value")

    @model_validator(mode="after")
    def _rises(self) -> Varied:
        if not self.low < self.high:
            msg = f"low is to be below high; found {self.low} and {self.high}"
            raise ValueError(msg)
        return self


class Improved(Part):
    """What the trials are to improve."""

    of: str = Field(description="column with its measured value")
    to: Literal["higher", "lower"] = Field(default="higher", description="which way is better")


class Limited(Part):
    """What a trial must keep to count."""

    of: str = Field(description="column with its measured value")
    at_least: float | None = Field(default=None, description="lowest value; none: no limit")
    at_most: float | None = Field(default=None, description="highest value; none: no limit")

    @model_validator(mode="after")
    def _limits(self) -> Limited:
        if self.at_least is None and self.at_most is None:
            msg = f"'{self.of}' has no limit: write at_least, at_most or both"
            raise ValueError(msg)
        return self


class Bayesian(LonePart):
    """Orders trials by their expected improvement, from Gaussian processes over the trials so far."""

    kind: Literal["bayesian"] = Field(description="which way of optimising: here by trials, one batch after the other")
    vary: list[Varied] = Field(min_length=1, max_length=8, description="settings of the trials")
    improve: Improved = Field(description="what is to be improved")
    keep: list[Limited] = Field(default=[], description="what must be kept meanwhile")
    batch: int = Field(default=4, ge=1, le=16, description="trials that are proposed at once")
    seed: int = Field(default=7, description="seed of the settings that are looked at")

    @property
    def columns(self) -> list[str]:
        """Columns of the table that it reads, each once."""
        named = (*(one.of for one in self.vary), self.improve.of, *(one.of for one in self.keep))
        return list(dict.fromkeys(named))

    @property
    def max_age_h(self) -> float | None:
        """A trial stands until it was run."""
        return None
