{{ config(materialized='lake_view') }}

select
    roll.mother_roll_id,
    roll.production_day,
    roll.electrode_code,
    {%- for name in site_plan().electrode.lims__roll_result %}
    result."{{ name }}",
    result."{{ name }}_known_at"{{ ',' if not loop.last }}
    {%- endfor %}
from {{ ref('mother_roll') }} as roll
left join {{ ref('int_mother_roll_result') }} as result on roll.mother_roll_id = result.mother_roll_id
