"""Great Expectations suites generated from the control plan and the dbt contracts."""
