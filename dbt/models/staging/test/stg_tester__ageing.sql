{{ config(feed='tester__ageing') }}

{{ stage('tester__ageing') }}
