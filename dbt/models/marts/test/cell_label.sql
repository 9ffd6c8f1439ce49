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
    cost_known_at,
    is_hipot_passed,
    mes__stacking_known_at as hipot_known_at,
    bake_cathode_moisture_ppm,
    wetting_index,
    mes__filling_known_at as filling_known_at,
    {{ keeps_limits('k_value_mv_h') }} as is_k_value_passed,
    tester__ageing_known_at as ageing_known_at,
    capacity_ah,
    acir_mohm,
    tester__grading_known_at as grading_known_at
from {{ ref('cell') }}
