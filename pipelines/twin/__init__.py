"""The plant twin: a structural causal simulator of one cell line that delivers what a real line would."""
