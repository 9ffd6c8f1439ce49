"""Curation: runs the dbt project of `dbt/` for a site, so that only what new records touch is built again."""
