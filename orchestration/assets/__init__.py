"""The platform's own assets: raw feeds, curated tables, their checks, published domains, solutions."""
