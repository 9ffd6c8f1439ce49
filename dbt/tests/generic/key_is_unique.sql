{#- Fails with every key that occurs twice or has an empty part; one pass for uniqueness and presence. -#}
{% test key_is_unique(model, keys, newest_day=false) %}

select {{ quoted(keys) }}, count(*) as occurrences
from {{ model }}
{% if newest_day -%}
where production_day = (select max(production_day) from {{ model }})
{%- endif %}
group by {{ quoted(keys) }}
having count(*) > 1
{%- for key in keys %} or "{{ key }}" is null{% endfor %}

{% endtest %}
