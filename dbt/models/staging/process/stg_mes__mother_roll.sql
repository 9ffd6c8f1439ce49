{{ config(feed='mes__mother_roll') }}

{{ stage('mes__mother_roll') }}
