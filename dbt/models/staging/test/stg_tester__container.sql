{{ config(feed='tester__container') }}

{{ stage('tester__container') }}
