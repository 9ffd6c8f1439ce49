{{ config(feed='mes__scrap') }}

{{ stage('mes__scrap') }}
