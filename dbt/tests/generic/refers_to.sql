{#- Fails with every value that is not found where the references point; several references in one pass. -#}
{% test refers_to(model, references) %}

{% for reference in references -%}
select '{{ reference.column }}' as column_name, child."{{ reference.column }}" as missing
from {{ model }} as child
anti join {{ reference.to }} as parent on child."{{ reference.column }}" = parent."{{ reference.field }}"
where child."{{ reference.column }}" is not null
{{ 'union all' if not loop.last }}
{% endfor %}

{% endtest %}
