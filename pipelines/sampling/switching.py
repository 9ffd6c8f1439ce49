"""Switching rules of ISO 2859-1:1999, section 9: lots in their order make inspection normal, tightened or reduced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pipelines.sampling.iso2859 import Plan

State = Literal["normal", "tightened", "reduced", "discontinued"]

_LOTS_LOOKED_AT: Final = 5
_REJECTED_TO_TIGHTEN: Final = 2
_ACCEPTED_TO_NORMAL: Final = 5
_REJECTED_TO_STOP: Final = 5
SCORE_TO_REDUCE: Final = 30


@dataclass(frozen=True)
class Switching:
    """How the next lot is inspected, and what counts towards a change.

    Attributes:
        state: Inspection of the next lot; `discontinued`: none is accepted until the supplier has acted.
        score: Switching score of normal inspection; from 30 on reduced inspection may be agreed.
        recent: Verdicts of the last lots since the last change, at most 5.
        rejected: Lots rejected since tightened inspection began.
    """

    state: State = "normal"
    score: int = 0
    recent: tuple[bool, ...] = ()
    rejected: int = 0

    def after(self, plan: Plan, nonconforming: int, *, reduced_agreed: bool = False) -> Switching:
        """The state once a lot was judged on its first submission.

        Args:
            plan: What it was judged by.
            nonconforming: Units found in its sample.
            reduced_agreed: Production is steady and those responsible wish reduced inspection, which the standard asks
                for beside the score; once it is no longer so, inspection is normal again.
        """
        is_accepted = nonconforming <= plan.accept
        recent = (*self.recent, is_accepted)[-_LOTS_LOOKED_AT:]
        if self.state == "normal":
            return self._after_normal(plan, nonconforming, recent, reduced_agreed=reduced_agreed)
        if self.state == "tightened":
            return self._after_tightened(recent)
        if self.state == "reduced":
            is_kept = is_accepted and reduced_agreed
            return Switching("reduced", recent=recent) if is_kept else Switching("normal")
        return self

    def resumed(self) -> Switching:
        """Inspection goes on after the supplier has acted: tightened."""
        return Switching("tightened") if self.state == "discontinued" else self

    def _after_normal(
        self, plan: Plan, nonconforming: int, recent: tuple[bool, ...], *, reduced_agreed: bool
    ) -> Switching:
        if recent.count(False) >= _REJECTED_TO_TIGHTEN:
            return Switching("tightened")
        if plan.accept_tighter is None:
            score = self.score + 2 if nonconforming <= plan.accept else 0
        else:
            score = self.score + 3 if nonconforming <= plan.accept_tighter else 0
        if score >= SCORE_TO_REDUCE and reduced_agreed:
            return Switching("reduced")
        return Switching("normal", score, recent)

    def _after_tightened(self, recent: tuple[bool, ...]) -> Switching:
        rejected = self.rejected + (not recent[-1])
        if rejected >= _REJECTED_TO_STOP:
            return Switching("discontinued")
        if len(recent) == _ACCEPTED_TO_NORMAL and all(recent):
            return Switching("normal")
        return Switching("tightened", recent=recent, rejected=rejected)
