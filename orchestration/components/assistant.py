"""The family of assistants: questions answered from rows by declared topics; no language model."""

from __future__ import annotations

import dagster as dg

from orchestration.components.scaffolding import AssistantScaffolder
from orchestration.components.solution import SolutionComponent


@dg.scaffold_with(AssistantScaffolder)
class Assistant(SolutionComponent):
    """Rules only, no language model: phrases, a query and a sentence for each topic, all in the YAML.

    `cellworks ask` answers by it; each night it writes the report of every period that ended. A sentence cites the rows
    that it rests on, its numbers are those of the rows, and where there is no row it says what is lacking.
    """
