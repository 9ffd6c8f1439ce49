{{ config(feed='tester__formation') }}

{{ stage('tester__formation') }}
