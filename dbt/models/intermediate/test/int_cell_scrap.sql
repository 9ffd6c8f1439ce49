-- Where a cell left the line: its first scrap record in the order of the steps.
select
    scrap.entity_id as cell_id,
    min_by(scrap.step_code, step.step_order) as scrapped_step_code,
    min_by(scrap.reason_code, step.step_order) as scrap_reason_code,
    min_by(scrap.event_at, step.step_order) as scrapped_at,
    min_by(scrap.known_at, step.step_order) as known_at,
    min(step.step_order) as scrapped_step_order
from {{ ref('stg_mes__scrap') }} as scrap
inner join ({{ step_orders() }}) as step on scrap.step_code = step.step_code
where scrap.entity_type_code = 'cell'
group by scrap.entity_id
