{{ config(feed='scada__alarm') }}

{{ stage('scada__alarm') }}
