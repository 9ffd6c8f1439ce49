-- The lot of each material that a batch holds most of; a batch may be fed from two lots when one runs out.
select
    slurry_batch_id,
    {%- for material in site_plan().materials %}
    max_by(material_lot_id, (mass_kg, material_lot_id))
    filter (where material_code = '{{ material }}') as "{{ material }}_lot_id",
    {%- endfor %}
    count(*) as material_lot_count,
    sum(mass_kg) as material_mass_kg,
    max(known_at) as known_at
from {{ ref('stg_mes__batch_material') }}
group by slurry_batch_id
