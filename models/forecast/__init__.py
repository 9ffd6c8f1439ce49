"""The family of forecasts: what each series will be over the next steps, with intervals, beside naive ones."""
