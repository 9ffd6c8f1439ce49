{{ config(days='leak_test_days') }}

{%- set days = rebuild_days('leak_test_days') %}

{{ rebuild_note(days) }}
-- The next test of a cell settles what this one found; nothing of it is known when this one is judged, nor is a record
-- of the seam that came later than the test's.
with test as (
    select
        *,
        lead(is_passed) over of_cell as next_is_passed,
        lead(known_at) over of_cell as next_known_at
    from {{ ref('stg_tester__leak_test') }}
    window of_cell as (partition by cell_id order by test_no)
)

select
    test.cell_id,
    test.test_no,
    test.production_day,
    test.event_at as tested_at,
    test.machine_id,
    test.chamber_no,
    {%- for name in site_plan().leak_test %}
    test."{{ name }}",
    {%- endfor %}
    {%- for row in site_plan().seam %}
    assembly."{{ row.code }}",
    {%- endfor %}
    test.is_passed,
    test.known_at,
    case when not test.is_passed then test.next_is_passed end as is_false_alarm,
    case when not test.is_passed then test.next_known_at end as label_known_at
from test
left join {{ ref('stg_mes__assembly') }} as assembly
    on test.cell_id = assembly.cell_id and assembly.known_at <= test.known_at
where {{ in_days('test.production_day', days) }}
