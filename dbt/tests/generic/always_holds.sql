{#- Fails with every row for which the rule does not hold; where the rule is NULL, null_is_good decides. -#}
{% test always_holds(model, rule, null_is_good=false) %}

select * from {{ model }} where not coalesce({{ rule }}, {{ null_is_good | lower }})

{% endtest %}
