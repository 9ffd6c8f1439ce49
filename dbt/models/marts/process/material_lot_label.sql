{{ config(materialized='lake_view') }}

select
    lot.material_lot_id,
    lot.production_day,
    lot.material_code,
    avg(batch.viscosity_mpa_s) as slurry_viscosity_mpa_s,
    max(batch.known_at) as slurry_viscosity_known_at
from {{ ref('material_lot') }} as lot
inner join {{ ref('stg_mes__slurry_batch') }} as batch on lot.material_lot_id = batch.active_material_lot_id
group by lot.material_lot_id, lot.production_day, lot.material_code
