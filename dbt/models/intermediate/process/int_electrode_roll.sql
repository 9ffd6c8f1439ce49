-- A daughter roll with all that it was made by: slitting and notching, calendering, coating, laboratory, mixing, lots.
{%- set electrode = site_plan().electrode %}
select
    daughter.daughter_roll_id,
    daughter.electrode_code,
    daughter.mother_roll_id,
    mother.slurry_batch_id,
    daughter.lane_no,
    daughter.from_m,
    daughter.to_m,
    daughter.is_flipped,
    daughter.knife_id,
    batch.machine_id as mixer_id,
    mother.machine_id as coater_id,
    calendering.machine_id as calender_id,
    daughter.machine_id as slitter_id,
    daughter.notcher_id,
    batch.active_material_lot_id,
    mother.foil_lot_id,
    {%- for material in site_plan().materials %}
    coalesce(
        lot."{{ material }}_lot_id",
        case when active.material_code = '{{ material }}' then batch.active_material_lot_id end,
        case when foil.material_code = '{{ material }}' then mother.foil_lot_id end
    ) as "{{ material }}_lot_id",
    case
        when lot."{{ material }}_lot_id" is not null then greatest(lot.known_at, batch.known_at)
        when active.material_code = '{{ material }}' then batch.known_at
        when foil.material_code = '{{ material }}' then mother.known_at
    end as "{{ material }}_lot_known_at",
    {%- endfor %}
    mother.started_at as coating_at,
    least(mother.known_at, calendering.event_at) as calendering_at,
    {%- for name in electrode.mes__slurry_batch %}
    batch."{{ name }}",
    {%- endfor %}
    {%- for name in electrode.mes__mother_roll %}
    mother."{{ name }}",
    {%- endfor %}
    {%- for name in electrode.mes__calendering %}
    calendering."{{ name }}",
    {%- endfor %}
    {%- for name in electrode.mes__daughter_roll %}
    daughter."{{ name }}",
    {%- endfor %}
    {%- for name in electrode.lims__roll_result %}
    result."{{ name }}",
    result."{{ name }}_known_at",
    {%- endfor %}
    batch.known_at as mes__slurry_batch_known_at,
    mother.known_at as mes__mother_roll_known_at,
    calendering.known_at as mes__calendering_known_at,
    daughter.known_at as mes__daughter_roll_known_at
from {{ ref('stg_mes__daughter_roll') }} as daughter
left join {{ ref('stg_mes__mother_roll') }} as mother on daughter.mother_roll_id = mother.mother_roll_id
left join {{ ref('stg_mes__calendering') }} as calendering on daughter.mother_roll_id = calendering.mother_roll_id
left join {{ ref('int_mother_roll_result') }} as result on daughter.mother_roll_id = result.mother_roll_id
left join {{ ref('stg_mes__slurry_batch') }} as batch on mother.slurry_batch_id = batch.slurry_batch_id
left join {{ ref('int_slurry_batch_lot') }} as lot on mother.slurry_batch_id = lot.slurry_batch_id
left join {{ ref('stg_erp__material_lot') }} as active on batch.active_material_lot_id = active.material_lot_id
left join {{ ref('stg_erp__material_lot') }} as foil on mother.foil_lot_id = foil.material_lot_id
