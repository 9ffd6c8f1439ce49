{%- set groups = site_plan().parameters %}
{{ config(days='same_days', days_of=[
    'stg_mes__slurry_batch', 'stg_mes__mother_roll', 'stg_mes__calendering', 'stg_mes__daughter_roll',
    'stg_mes__stacking', 'stg_mes__assembly', 'stg_mes__filling', 'stg_tester__formation', 'stg_tester__ageing',
    'stg_tester__grading',
]) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
with told as (
    {%- for group in groups %}
    select
        {{ group.machine }} as machine_id,
        production_day,
        unnest([
            {%- for each in group.parameters %}
            {
                'characteristic_code': '{{ each.code }}',
                'nominal': {{ each.nominal }}::double,
                'lsl': {{ each.lsl }}::double,
                'usl': {{ each.usl }}::double,
                'parameter_count': count("{{ each.column }}"),
                'parameter_mean': avg("{{ each.column }}")::float,
                'parameter_sd': coalesce(stddev_samp("{{ each.column }}"), 0.0)::float,
                'outside_count': count(*) filter (
                    "{{ each.column }}" < {{ each.lsl }} or "{{ each.column }}" > {{ each.usl }}
                )
            }{{ ',' if not loop.last }}
            {%- endfor %}
        ], recursive := true),
        max(known_at) as known_at
    from {{ ref('stg_' ~ group.feed) }}
    where {{ in_days('production_day', days) }} and {{ group.machine }} is not null
        {%- if group.electrode %} and electrode_code = '{{ group.electrode }}'{% endif %}
    group by {{ group.machine }}, production_day
    {%- if not loop.last %}
    union all by name
    {%- endif %}
    {%- endfor %}
)

select
    machine_id,
    characteristic_code,
    production_day,
    nominal,
    lsl,
    usl,
    parameter_count,
    parameter_mean,
    parameter_sd,
    outside_count / parameter_count as outside_ratio,
    -- Each side has a tolerance of its own; at a limit the deviation is 1 or -1.
    case
        when parameter_mean >= nominal then (parameter_mean - nominal) / (usl - nominal)
        else (parameter_mean - nominal) / (nominal - lsl)
    end as golden_deviation,
    known_at
from told
where parameter_count > 0
