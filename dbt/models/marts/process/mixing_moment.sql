{{ config(days='mixing_moment_days') }}

{%- set days = rebuild_days('mixing_moment_days') %}

{{ rebuild_note(days) }}
-- What the laboratory tells of the sample comes hours later; nothing of it is known at the moment.
select
    moment.slurry_batch_id,
    moment.minute_no,
    moment.production_day,
    moment.electrode_code,
    moment.machine_id as mixer_id,
    moment.active_material_lot_id,
    {{ shift_code(local_time('moment.started_at')) }} as shift_code,
    moment.started_at,
    moment.event_at as moment_at,
    moment.minute_no / 60.0::double as elapsed_h,
    {%- for name in site_plan().mixing_moment %}
    moment."{{ name }}",
    {%- endfor %}
    case when lot.result_known_at <= moment.event_at then coalesce(lot.lfp_bet_m2_g, lot.graphite_bet_m2_g) end
        as active_bet_m2_g,
    moment.known_at,
    drawn.sample_fineness_um,
    case moment.electrode_code
        {%- for electrode, most in site_plan().sample_fineness_most.items() %}
        when '{{ electrode }}' then drawn.sample_fineness_um <= {{ most }}
        {%- endfor %}
    end as is_dispersed,
    drawn.known_at as label_known_at
from {{ ref('stg_mes__mixing_moment') }} as moment
left join {{ ref('int_material_lot') }} as lot on moment.active_material_lot_id = lot.material_lot_id
left join {{ ref('stg_lims__mixing_sample') }} as drawn
    on moment.slurry_batch_id = drawn.slurry_batch_id and moment.minute_no = drawn.minute_no
where {{ in_days('moment.production_day', days) }}
