{{ config(materialized='lake_view') }}

{%- set electrode = site_plan().electrode %}

select
    mother_roll_id,
    production_day,
    electrode_code,
    slurry_batch_id,
    active_material_lot_id,
    coater_id,
    shift_code,
    ended_at,
    {%- for name in electrode.mes__mother_roll %}
    "{{ name }}",
    {%- endfor %}
    {%- for name in electrode.lims__roll_result %}
    "{{ name }}",
    {%- endfor %}
    mes__mother_roll_known_at,
    lims__roll_result_known_at
from {{ ref('mother_roll') }}
where electrode_code = 'cathode'
