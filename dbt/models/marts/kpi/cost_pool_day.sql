{{ config(days='same_days', days_of=['kpi_day']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
select
    kpi.production_day,
    kept.pool_code,
    case kept.pool_code
        when 'consumables' then kpi.consumables_cost_usd
        when 'demand' then kpi.demand_cost_usd
        else kept.daily_usd
    end as cost_usd
from {{ ref('kpi_day') }} as kpi
cross join ({{ cost_pools() }}) as kept
where {{ in_days('kpi.production_day', days) }}
