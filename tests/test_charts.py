"""What Dagster's and MLflow's charts make of our values, as far as it can be told without Helm and a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance, DagsterRun
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin

from orchestration.secrecy import HidingInstance
from tests.test_infra import INFRA, MLFLOW, containers, run

DAGSTER = INFRA / "helm" / "dagster-values.yaml"
CLUSTER = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "none",
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "none", "user": {}}],
}
"""A cluster that is nowhere: nothing is sent to it."""


def test_what_helm_values_put_into_pods_fits_the_kubernetes_schema(tmp_path: Path) -> None:
    dagster, mlflow = yaml.safe_load(DAGSTER.read_text()), yaml.safe_load(MLFLOW.read_text())
    launcher = dagster["runLauncher"]["config"]["k8sRunLauncher"]
    (code,) = dagster["dagster-user-deployments"]["deployments"]
    parts = {
        "webserver": dagster["dagsterWebserver"],
        "daemon": dagster["dagsterDaemon"],
        "code": code,
        "run": {**launcher, "podSecurityContext": launcher["runK8sConfig"]["podSpecConfig"]["securityContext"]},
        "mlflow": mlflow,
    }
    for name, part in parts.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(_pod(name, part)))
    run("kubernetes-validate", "--strict", *tmp_path.glob("*.yaml"))


def test_a_run_has_the_resources_of_runs_and_home_and_addresses_of_its_site(tmp_path: Path) -> None:
    values = yaml.safe_load(DAGSTER.read_text())
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    (code,) = values["dagster-user-deployments"]["deployments"]
    pod = _launched(tmp_path, launcher, code, {})
    container = pod.containers[0]
    assert container.resources.to_dict() | {"claims": None} == launcher["resources"] | {"claims": None}
    assert {each.name: each.value for each in container.env}.items() >= {"CELLWORKS_SITE": _site_of(code)}.items()
    maps = [each.config_map_ref.name for each in container.env_from if each.config_map_ref]
    assert maps == [each["name"] for each in code["envConfigMaps"]]
    secrets = [each.secret_ref.name for each in container.env_from if each.secret_ref]
    assert secrets == [each["name"] for each in code["envSecrets"]]
    claims = {each.name: each.persistent_volume_claim.claim_name for each in pod.volumes if each.name == "home"}
    assert claims == {each["name"]: each["persistentVolumeClaim"]["claimName"] for each in code["volumes"]}
    mounted = [(each.name, each.mount_path) for each in container.volume_mounts if each.name in claims]
    assert mounted == [(each["name"], each["mountPath"]) for each in code["volumeMounts"]]
    assert pod.security_context.run_as_user == values["dagsterWebserver"]["podSecurityContext"]["runAsUser"]
    asked = {"limits": {"cpu": "8", "memory": "24Gi"}, "requests": {"cpu": "8", "memory": "24Gi"}}
    tags = {"dagster-k8s/config": json.dumps({"container_config": {"resources": asked}})}
    assert _launched(tmp_path, launcher, code, tags).containers[0].resources.limits == asked["limits"]


def _site_of(code: dict[str, Any]) -> str:
    (site,) = (each["value"] for each in code["env"] if each["name"] == "CELLWORKS_SITE")
    return str(site)


def _launched(tmp_path: Path, launcher: dict[str, Any], code: dict[str, Any], tags: dict[str, str]) -> Any:
    """The pod of a run, as Dagster's launcher makes it of what the chart hands on of its values."""
    k8s, making = pytest.importorskip("dagster_k8s"), pytest.importorskip("dagster_k8s.job")
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(CLUSTER))
    ours = k8s.K8sRunLauncher(
        service_account_name="dagster",
        instance_config_map="dagster-instance",
        dagster_home="/opt/dagster/dagster_home",
        load_incluster_config=False,
        kubeconfig_file=str(tmp_path / "kubeconfig"),
        env_config_maps=[each["name"] for each in launcher.get("envConfigMaps", [])],
        env_secrets=[each["name"] for each in launcher["envSecrets"]],
        volumes=launcher.get("volumes"),
        volume_mounts=launcher.get("volumeMounts"),
        resources=launcher["resources"],
        security_context=launcher["securityContext"],
        run_k8s_config={
            "pod_spec_config": launcher["runK8sConfig"]["podSpecConfig"],
            "job_spec_config": launcher["runK8sConfig"]["jobSpecConfig"],
        },
    )
    assert code["includeConfigInLaunchedRuns"] == {"enabled": False}, (
        "the chart's own context has the code server's resources"
    )
    (context,) = (json.loads(each["value"]) for each in code["env"] if each["name"] == "DAGSTER_CONTAINER_CONTEXT")
    where = RepositoryPythonOrigin(
        "python", ModuleCodePointer("orchestration.definitions", "defs"), container_context=context
    )
    run = DagsterRun(job_name="nightly", tags=tags, job_code_origin=JobPythonOrigin("nightly", where))
    merged = ours.get_container_context_for_run(run)
    job = making.construct_dagster_k8s_job(
        merged.get_k8s_job_config("cellworks:0.1.0", ours), ["run"], "run", merged.run_k8s_config
    )
    return job.spec.template.spec


def test_what_the_chart_adds_to_the_instance_file_keeps_secrets_out_of_events(tmp_path: Path) -> None:
    values = yaml.safe_load(DAGSTER.read_text())
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(values["additionalInstanceConfig"]))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance, HidingInstance)
    (code,) = values["dagster-user-deployments"]["deployments"]
    have_the_class = [values["dagsterWebserver"], values["dagsterDaemon"], code]
    assert {yaml.safe_dump(each["image"]) for each in have_the_class} == {yaml.safe_dump(code["image"])}


def test_who_starts_slowly_is_asked_about_its_start_first() -> None:
    values = yaml.safe_load(DAGSTER.read_text())
    (code,) = values["dagster-user-deployments"]["deployments"]
    for part in (values["dagsterWebserver"], code):
        probe = part["startupProbe"]
        assert probe["enabled"] is True, "the chart leaves out a start-up probe that does not say so"
        patience_s = probe["periodSeconds"] * probe["failureThreshold"]
        assert patience_s > part["livenessProbe"]["periodSeconds"] * part["livenessProbe"]["failureThreshold"]


def _pod(name: str, part: dict[str, Any]) -> dict[str, Any]:
    """A pod of the parts of a chart's values that are Kubernetes' own types."""
    container: dict[str, Any] = {"name": name, "image": "none:0"}
    container |= {key: part[key] for key in ("resources", "securityContext", "volumeMounts") if key in part}
    container |= {
        key: {name: value for name, value in part[key].items() if name != "enabled"}  # the chart's own word
        for key in ("livenessProbe", "readinessProbe", "startupProbe")
        if "httpGet" in part.get(key, {})
    }
    spec = {
        "containers": [container],
        "securityContext": part["podSecurityContext"],
        "volumes": part.get("volumes", []),
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def test_the_webserver_listens_where_it_may_and_probes_and_proxy_ask_it_there() -> None:
    values = yaml.safe_load(DAGSTER.read_text())["dagsterWebserver"]
    port = values["service"]["port"]  # the chart lets the container listen on it too
    assert port >= 1024, "without rights nobody listens below it"
    probes = [values[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")]
    assert {probe["port"] for probe in probes} == {port}
    assert {probe["path"] for probe in probes} == {f"{values['pathPrefix']}/server_info"}
    (caddy,) = (each for file, each in containers() if file == "proxy.yaml")
    told = {each["name"]: each["value"] for each in caddy["env"]}
    assert told["CELLWORKS_DAGSTER_UPSTREAM"] == f"dagster-dagster-webserver:{port}"


def test_no_volume_is_given_to_mlflow_that_its_chart_brings_itself() -> None:
    values = yaml.safe_load(MLFLOW.read_text())
    assert values["securityContext"]["readOnlyRootFilesystem"], "only then does the chart bring `tmp`"
    assert "tmp" not in {volume["name"] for volume in values["extraVolumes"]}
    assert "/tmp" not in {mount["mountPath"] for mount in values["extraVolumeMounts"]}
