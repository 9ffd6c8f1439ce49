{{ config(materialized='lake_view') }}

-- A life ends at the roll that first shows the mean burr beyond the control limit; the one before lies a roll's length
-- back. A knife that was changed before it came to that, or still runs, has lasted until its newest roll. Rolls that a
-- worn-out knife went on to slit belong to no life.
with rolls as (
    select
        daughter_roll_id,
        production_day,
        slitter_id,
        knife_id,
        slit_km,
        mean_burr_um > case electrode_code
            {%- for code, limit_um in site_plan().knife.burr_um.items() %}
            when '{{ code }}' then {{ limit_um }}
            {%- endfor %}
        end as is_beyond
    from {{ ref('knife_roll') }}
),

worn_out as (
    select knife_id, min(slit_km) as worn_out_km
    from rolls
    where is_beyond
    group by knife_id
),

before as (
    select rolls.*, worn_out.worn_out_km
    from rolls
    left join worn_out on rolls.knife_id = worn_out.knife_id
    where worn_out.worn_out_km is null or rolls.slit_km < worn_out.worn_out_km
)

select
    daughter_roll_id,
    production_day,
    slitter_id,
    knife_id,
    slit_km,
    coalesce(worn_out_km, max(slit_km) over (partition by knife_id)) - slit_km as left_km,
    worn_out_km is not null as is_worn_out
from before
