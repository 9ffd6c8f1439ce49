{{ config(feed='mes__recipe_trial') }}

{{ stage('mes__recipe_trial') }}
