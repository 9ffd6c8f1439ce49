{{ config(days='leak_test_days') }}

{%- set days = rebuild_days('leak_test_days') %}

{{ rebuild_note(days) }}
-- The next test of a cell settles what this one found; nothing of it is known when this one is judged.
with test as (
    select
        *,
        lead(is_passed) over of_cell as next_is_passed,
        lead(known_at) over of_cell as next_known_at
    from {{ ref('stg_tester__leak_test') }}
    window of_cell as (partition by cell_id order by test_no)
)

select
    cell_id,
    test_no,
    production_day,
    event_at as tested_at,
    machine_id,
    chamber_no,
    {%- for name in site_plan().leak_test %}
    "{{ name }}",
    {%- endfor %}
    is_passed,
    known_at,
    case when not is_passed then next_is_passed end as is_false_alarm,
    case when not is_passed then next_known_at end as label_known_at
from test
where {{ in_days('production_day', days) }}
