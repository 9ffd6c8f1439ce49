{{ config(days='same_days', days_of=['stg_mes__stacking']) }}

{%- set days = rebuild_days('same_days') %}
{%- set names = site_plan().stacker_hour %}

{{ rebuild_note(days) }}
select
    machine_id,
    date_trunc('hour', event_at) as hour_at,
    production_day,
    count(*) as cell_count,
    -- Sums of doubles depend on their order in the last bits; as single precision they are the same on every run.
    {%- for name in names %}
    avg("{{ name }}")::float as "{{ name }}",
    {%- endfor %}
    max(known_at) as known_at
from {{ ref('stg_mes__stacking') }}
where {{ in_days('production_day', days) }}
group by all
