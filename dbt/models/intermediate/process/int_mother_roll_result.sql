{%- set codes = site_plan().codes.lims__roll_result %}
{%- set names = codes | map(attribute='name') | unique | list %}
select
    mother_roll_id,
    {%- for name in names %}
    {%- set of_name = codes | selectattr('name', 'equalto', name) | map(attribute='code') | list %}
    avg(value order by sample_no) filter (where characteristic_code in ({{ literals(of_name) }})) as "{{ name }}",
    max(known_at) filter (where characteristic_code in ({{ literals(of_name) }})) as "{{ name }}_known_at",
    {%- endfor %}
    max(known_at) as known_at
from {{ ref('stg_lims__roll_result') }}
group by mother_roll_id
