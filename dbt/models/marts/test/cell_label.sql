{{ config(materialized='lake_view') }}

select
    cell_id,
    production_day,
    formation_at,
    grade_code,
    is_premium,
    label_known_at,
    cost_to_come_usd_per_kwh,
    standard_cost_to_come_usd_per_kwh,
    cost_known_at
from {{ ref('cell') }}
