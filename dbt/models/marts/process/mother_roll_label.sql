{{ config(materialized='lake_view') }}

with cells as (
    select
        daughter.mother_roll_id,
        avg(stacking.particle_count) as cell_particle_count,
        max(stacking.known_at) as cell_particle_count_known_at
    from (
        select
            known_at,
            particle_count,
            unnest([cathode_roll_id, anode_roll_id]) as daughter_roll_id
        from {{ ref('stg_mes__stacking') }}
    ) as stacking
    inner join {{ ref('stg_mes__daughter_roll') }} as daughter
        on stacking.daughter_roll_id = daughter.daughter_roll_id
    group by daughter.mother_roll_id
)

select
    roll.mother_roll_id,
    roll.production_day,
    roll.electrode_code,
    {%- for name in site_plan().electrode.lims__roll_result %}
    result."{{ name }}",
    result."{{ name }}_known_at",
    {%- endfor %}
    cells.cell_particle_count,
    cells.cell_particle_count_known_at
from {{ ref('mother_roll') }} as roll
left join {{ ref('int_mother_roll_result') }} as result on roll.mother_roll_id = result.mother_roll_id
left join cells on roll.mother_roll_id = cells.mother_roll_id
