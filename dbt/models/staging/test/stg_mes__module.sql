{{ config(feed='mes__module') }}

{{ stage('mes__module') }}
