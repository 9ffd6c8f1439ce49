{{ config(feed='mes__mixing_moment') }}

{{ stage('mes__mixing_moment') }}
