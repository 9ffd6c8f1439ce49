"""The Python interfaces that others call, as their docstrings tell them."""

from __future__ import annotations

PUBLIC = {
    "The lake": (
        "pipelines.lake.home",
        "pipelines.lake.connection",
        "pipelines.lake.publish",
        "pipelines.lake.maintenance",
    ),
    "Control plan": ("pipelines.control_plan.site", "pipelines.control_plan.derive", "pipelines.control_plan.errors"),
    "Ingestion": ("pipelines.ingest.connector", "pipelines.ingest.run", "pipelines.ingest.quarantine"),
    "Curation": ("pipelines.curation.run",),
    "Expectations": ("expectations.run", "expectations.report"),
    "Models": (
        "models.context",
        "models.train",
        "models.gates.judge",
        "models.registry.aliases",
        "models.scoring.score",
    ),
    "Control charts": (
        "pipelines.charts.kernel",
        "pipelines.charts.limits",
        "pipelines.charts.run_length",
        "pipelines.charts.autocorrelation",
        "pipelines.charts.capability",
        "pipelines.charts.gauge",
    ),
    "Actions": ("pipelines.actions.propose", "pipelines.actions.decide"),
}


def api() -> str:
    """Return the page; mkdocstrings fills it from the source, nothing is imported."""
    parts = ["# Python interfaces", "Import from the module named; nothing is re-exported."]
    for title, modules in PUBLIC.items():
        parts += [f"## {title}", *(f"::: {module}\n    options:\n      heading_level: 3" for module in modules)]
    return "\n\n".join(parts) + "\n"
