{{ config(materialized='lake_view') }}

-- Written from the control plan before each run.
select * from lake.ops.control_point
