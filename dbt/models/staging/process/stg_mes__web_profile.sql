{{ config(feed='mes__web_profile') }}

{{ stage('mes__web_profile') }}
