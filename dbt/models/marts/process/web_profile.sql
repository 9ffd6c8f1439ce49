{{ config(days='same_days', days_of=['stg_mes__web_profile']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
select
    machine_id || '-lip-' || lpad(lip_no::varchar, 2, '0') as die_bolt_id,
    mother_roll_id,
    lip_no,
    production_day,
    electrode_code,
    machine_id as coater_id,
    event_at as ended_at,
    {%- for name in site_plan().web_profile %}
    "{{ name }}",
    {%- endfor %}
    known_at
from {{ ref('stg_mes__web_profile') }}
where {{ in_days('production_day', days) }}
