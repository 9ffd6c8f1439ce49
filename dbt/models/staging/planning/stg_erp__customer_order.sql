{{ config(feed='erp__customer_order') }}

{{ stage('erp__customer_order') }}
