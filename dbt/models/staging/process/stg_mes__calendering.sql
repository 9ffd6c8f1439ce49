{{ config(feed='mes__calendering') }}

{{ stage('mes__calendering') }}
