{{ config(feed='mes__foil_splice') }}

{{ stage('mes__foil_splice') }}
