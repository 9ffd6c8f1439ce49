{{ config(materialized='lake_view') }}

-- Sums and means reach back from a roll, so that each holds what was known when it had been slit. A single burr and a
-- single reading of the length counter scatter by much of what a knife's life adds to them.
{%- set rolls = site_plan().knife.rolls %}
select
    daughter_roll_id,
    production_day,
    electrode_code,
    slitter_id,
    knife_id,
    lane_no,
    ended_at,
    sum(length_m) over life / 1000 as slit_km,
    case when count(burr_um) over newest = {{ rolls }} then avg(burr_um) over newest end as mean_burr_um,
    {%- for name in site_plan().electrode.mes__daughter_roll %}
    "{{ name }}",
    {%- endfor %}
    mes__daughter_roll_known_at as known_at
from {{ ref('daughter_roll') }}
where knife_id is not null and ended_at is not null
window
    life as (partition by knife_id order by ended_at, daughter_roll_id),
    newest as (
        partition by knife_id order by ended_at, daughter_roll_id rows between {{ rolls - 1 }} preceding and current row
    )
