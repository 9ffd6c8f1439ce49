"""What maintenance by predicted life costs per unit of life, beside running to failure and a fixed interval.

Cost per unit of life is cost over life, both summed over lives: by the renewal reward theorem the long-run rate of a
policy that is repeated (Barlow and Proschan 1965, chapter 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.scoring.runtime import Array
from models.survival_model.lives import Lives
from models.survival_model.spec import Policy

_TRIED = 60


@dataclass(frozen=True)
class Histories:
    """Lives from the first row to the last, rows in the order of life and age.

    Attributes:
        order: Row numbers in that order.
        code: Life number per ordered row, from 0.
        age: Age per ordered row.
        first: Place of each life's first row in the order.
        begin: Age at that row.
        end: Age at which the life ended or was last seen, per life.
        has_ended: Whether it was seen to end.
    """

    order: Array
    code: Array
    age: Array
    first: Array
    begin: Array
    end: Array
    has_ended: Array


@dataclass(frozen=True)
class Bill:
    """Cost and life used per life; a life that a policy never touches has neither."""

    cost: Array
    used: Array

    @property
    def rate(self) -> float:
        """Cost per unit of life."""
        return float(self.cost.sum() / self.used.sum()) if self.used.sum() > 0 else float("inf")


def histories(lives: Lives, groups: Array) -> Histories:
    """Put rows together to lives.

    Args:
        lives: uncapped bounds with ages.
        groups: life number per row.

    Raises:
        ValueError: the ages are not known.
    """
    if lives.age is None:
        raise ValueError("a policy is told by ages")
    order = np.lexsort((lives.age, groups))
    _, first, code = np.unique(groups[order], return_index=True, return_inverse=True)
    age = lives.age[order]
    last = np.append(first[1:], len(order)) - 1
    # An end between bounds is taken at the later one, when it was found.
    ended = np.isfinite(lives.upper[order])
    end = age + np.where(ended, lives.upper[order], lives.lower[order])
    return Histories(order, code, age, first, age[first], np.maximum.reduceat(end, first), ended[last])


def run_to_failure(past: Histories, policy: Policy) -> Bill:
    """Nothing is replaced before it fails."""
    return Bill(np.where(past.has_ended, policy.failure, 0.0), past.end - past.begin)


def _replaced_at(past: Histories, at: Array, policy: Policy) -> Bill:
    """Replaced at an age per life, where it has not failed before; infinite: never."""
    acts = at < past.end
    wasted = np.where(acts & past.has_ended, policy.wasted * (past.end - np.where(acts, at, 0.0)), 0.0)
    cost = np.where(acts, policy.planned + wasted, np.where(past.has_ended, policy.failure, 0.0))
    return Bill(cost, np.where(acts, at, past.end) - past.begin)


def fixed_interval(past: Histories, interval: float, policy: Policy) -> Bill:
    """Everything is replaced at the same age; lives first seen beyond it are left out."""
    bill = _replaced_at(past, np.full(len(past.end), interval), policy)
    inside = past.begin < interval
    return Bill(np.where(inside, bill.cost, 0.0), np.where(inside, bill.used, 0.0))


def by_prediction(past: Histories, predicted: Array, below: float, policy: Policy) -> Bill:
    """Replaced at the first row whose predicted life is at most `below`."""
    acts = predicted[past.order] <= below
    age = np.where(acts, past.age, np.inf)
    return _replaced_at(past, np.minimum.reduceat(age, past.first), policy)


def best_interval(past: Histories, policy: Policy) -> float:
    """The fixed interval that would have been cheapest; infinite where running to failure is."""
    tried = np.append(np.unique(np.quantile(past.end, np.linspace(0.02, 1.0, _TRIED))), np.inf)
    rates = [fixed_interval(past, float(each), policy).rate for each in tried]
    return float(tried[int(np.argmin(rates))])


def best_threshold(past: Histories, predicted: Array, policy: Policy) -> float:
    """The predicted life below which to act that would have been cheapest; below all of them: never."""
    never = float(np.min(predicted)) - 1.0
    tried = np.append(never, np.unique(np.quantile(predicted, np.linspace(0.0, 0.9, _TRIED))))
    rates = [by_prediction(past, predicted, float(each), policy).rate for each in tried]
    return float(tried[int(np.argmin(rates))])
