{{ config(days='same_days', days_of=['stg_tester__formation']) }}

{%- set days = rebuild_days('same_days') %}
{%- set names = ['contact_resistance_mohm', 'channel_current_error_pct', 'cv_time_s', 'formation_resistance_mohm',
                 'charge_capacity_ah'] %}

{{ rebuild_note(days) }}
with peers as (
    select
        channel_id,
        machine_id,
        production_day,
        known_at,
        {%- for name in names %}
        "{{ name }}" - median("{{ name }}") over cabinet as "{{ name }}"{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('stg_tester__formation') }}
    where {{ in_days('production_day', days) }}
    window cabinet as (partition by machine_id, production_day)
)

select
    channel_id,
    machine_id,
    production_day,
    count(*) as cell_count,
    {%- for name in names %}
    avg("{{ name }}")::float as "{{ name.rsplit('_', 1)[0] }}_against_cabinet_{{ name.rsplit('_', 1)[1] }}",
    {%- endfor %}
    max(known_at) as known_at
from peers
group by all
