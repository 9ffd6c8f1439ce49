{{ config(feed='mes__daughter_roll') }}

{{ stage('mes__daughter_roll') }}
