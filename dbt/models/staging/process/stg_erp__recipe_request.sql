{{ config(feed='erp__recipe_request') }}

{{ stage('erp__recipe_request') }}
