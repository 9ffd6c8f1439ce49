"""The deployment files, which nothing here can run: linted, checked against published schemas, held to our rules."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

import orchestration.services.layout as layout
from orchestration.cli.main import app
from orchestration.environment import GATEWAY_VARIABLE
from orchestration.services.mlflow_login import ADMIN_VARIABLE, VIEWER_VARIABLE, settings_text
from orchestration.services.settings import Settings
from pipelines.lake.home import Home

ROOT = Path(__file__).resolve().parents[1]
INFRA = ROOT / "infra"
TOOLS = Path(sys.executable).parent
DOCKERFILE, COMPOSE = INFRA / "docker" / "Dockerfile", INFRA / "compose" / "compose.yaml"
RUNS, MORE = INFRA / "dagster" / "docker.yaml", INFRA / "compose" / "docker-runs.yaml"
MLFLOW = INFRA / "helm" / "mlflow-values.yaml"
MANIFESTS = sorted(file for file in (INFRA / "kubernetes").glob("*.yaml") if file.name != "kustomization.yaml")
UNITS = sorted((INFRA / "systemd").glob("cellworks*"))
SECRETS = ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "MLFLOW_FLASK_SERVER_SECRET_KEY")


def run(tool: str, *arguments: object) -> str:
    """What a linter says; it must be content."""
    done = subprocess.run(
        [TOOLS / tool, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def fails(tool: str, *arguments: object) -> str:
    """What a linter says of something that it must refuse."""
    done = subprocess.run(
        [TOOLS / tool, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_the_dockerfile_is_clean_and_its_linter_would_say_so_if_not(tmp_path: Path) -> None:
    run("hadolint", DOCKERFILE)
    (tmp_path / "Dockerfile").write_text(
        DOCKERFILE.read_text().replace("python:3.11.14-slim-bookworm", "python:latest")
    )
    assert "DL3007" in fails("hadolint", tmp_path / "Dockerfile")


def test_the_image_runs_as_nobody_of_importance_and_watches_itself() -> None:
    final = DOCKERFILE.read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert "\nHEALTHCHECK " in final


def test_every_yaml_file_keeps_the_style(tmp_path: Path) -> None:
    config = INFRA / ".yamllint.yaml"
    run("yamllint", "-s", "-c", config, *(INFRA / name for name in ("compose", "helm", "kubernetes", "dagster")))
    (tmp_path / "twice.yaml").write_text("a: 1\na: 2\n")
    assert "duplication of key" in fails("yamllint", "-s", "-c", config, tmp_path / "twice.yaml")


def test_compose_and_kubernetes_files_fit_their_schemas(tmp_path: Path) -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE, MORE)
    run("kubernetes-validate", "--strict", *MANIFESTS)
    (tmp_path / "compose.yaml").write_text(COMPOSE.read_text().replace("healthcheck:", "healthchek:"))
    assert "healthchek" in fails(
        "check-jsonschema", "--builtin-schema", "vendor.compose-spec", tmp_path / "compose.yaml"
    )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units_and_would_say_so_if_not(tmp_path: Path) -> None:
    here = {"/opt/cellworks/.venv/bin": str(TOOLS), "/usr/sbin/apache2": "/bin/true"}

    def said(broken: str = "") -> str:
        for unit in UNITS:
            text = unit.read_text()
            for there, ours in here.items():
                text = text.replace(there, ours)
            (tmp_path / unit.name).write_text(text + broken)
        files = sorted(tmp_path.iterdir())
        done = subprocess.run(
            ["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False, timeout=60
        )
        return "\n".join(line for line in (done.stdout + done.stderr).splitlines() if "cellworks" in line)

    assert said() == ""
    assert "Unknown section" in said("[Servce]\n")


def test_the_units_give_commands_that_exist_and_no_secret() -> None:
    program = get_command(app)
    given = [
        words.split()
        for unit in UNITS
        for words in re.findall(r"^Exec\w+=.*\.venv/bin/cellworks ([a-z ]+)", unit.read_text(), re.MULTILINE)
    ]
    assert sorted(map(tuple, given)) == [("backup",), ("metrics", "serve"), ("services", "down"), ("services", "up")]
    for words in given:
        command: Any = program
        for word in words:
            command = command.commands[word]
    for unit in UNITS:
        assert not re.search(r"^Environment=.*(PASS|SECRET|TOKEN|KEY)", unit.read_text(), re.MULTILINE), unit.name
        assert unit.suffix != ".service" or "\nUser=cellworks\n" in unit.read_text(), unit.name


def test_people_give_commands_over_the_servers_with_a_token_of_their_own(tmp_path: Path) -> None:
    """The script as it is, but for where things lie; the command is one that tells what it was given."""
    (tmp_path / "env").write_text("export CELLWORKS_ENV=servers\n")
    (tmp_path / "cellworks").write_text('#!/bin/sh\nprintf "%s|" "$CELLWORKS_ENV" "$CELLWORKS_TOKEN_FILE" "$@"; cat\n')
    (tmp_path / "cellworks").chmod(0o755)
    text = (INFRA / "systemd" / "plant").read_text()
    for there in ("/var/lib/cellworks/services", "/opt/cellworks/.venv/bin"):
        assert there in text
        text = text.replace(there, str(tmp_path))
    words = ["actions", "approve", "1a2b", "--why", "seen; on the $(line)"]
    done = subprocess.run(
        ["/bin/sh", "-c", text, "plant", *words], input="a.b.c", capture_output=True, text=True, check=True
    )
    assert done.stdout == "|".join(["servers", "-", *words, "a.b.c"])


def test_the_docker_launcher_takes_its_settings_and_runs_are_where_the_servers_are() -> None:
    docker = pytest.importorskip("dagster_docker")
    from dagster._config import process_config

    settings = yaml.safe_load(RUNS.read_text())["run_launcher"]
    assert (settings["module"], settings["class"]) == ("dagster_docker", docker.DockerRunLauncher.__name__)
    read = process_config(docker.DockerRunLauncher.config_type(), settings["config"])
    assert read.success, read.errors
    wrong = process_config(docker.DockerRunLauncher.config_type(), settings["config"] | {"volumes": []})
    assert "volumes" in str(wrong.errors)
    assert [name for name in settings["config"]["env_vars"] if "=" in name] == []
    compose, more = yaml.safe_load(COMPOSE.read_text()), yaml.safe_load(MORE.read_text())
    for kind, names in {"networks": settings["config"]["networks"], "volumes": ["cellworks_home"]}.items():
        known = {f"{compose['name']}_{name}" for each in (compose, more) for name in each.get(kind, ())}
        assert set(names) <= known, kind
    assert {service["image"] for service in compose["services"].values()} >= {settings["config"]["image"]}
    told = {
        name: compose["services"][name]["environment"] | more["services"][name]["environment"]
        for name in ("code", "webserver", "daemon")
    }
    assert set(settings["config"]["env_vars"]) == set(told["code"]), "a run needs what its code server needs"
    for launcher in ("webserver", "daemon"):
        handed = {name: told[launcher].get(name) for name in told["code"]}
        assert handed == told["code"], f"{launcher} has nothing else to hand on"


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every container of the manifests, with the file that it is in."""
    for file in MANIFESTS:
        for each in yaml.safe_load_all(file.read_text()):
            pod = each.get("spec", {}).get("template", {}).get("spec", {})
            yield from ((file.name, container) for container in pod.get("containers", []))


def test_everything_has_limits_health_and_an_exact_version() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    services["engine"] = yaml.safe_load(MORE.read_text())["services"]["engine"]
    assert {name for name, each in services.items() if not each["deploy"]["resources"]["limits"]} == set()
    assert {name for name, each in services.items() if "healthcheck" not in each} == {"code"}  # the image's own
    assert {name for name, each in services.items() if "ports" in each} == {"proxy"}
    assert all(port.startswith("127.0.0.1:") for port in services["proxy"]["ports"])
    for file, container in containers():
        assert container["resources"]["limits"], file
        assert container["securityContext"]["allowPrivilegeEscalation"] is False, file
    images = [each["image"] for each in services.values()] + [each["image"] for _, each in containers()]
    images += re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    assert [image for image in images if not re.search(r":\d+\.\d+", image)] == []


def test_no_service_with_a_read_only_file_system_takes_a_secret_that_compose_must_write() -> None:
    for file in (COMPOSE, MORE):
        content = yaml.safe_load(file.read_text())
        written = {name for name, each in content.get("secrets", {}).items() if "file" not in each}
        taken = {
            name: each if isinstance(each, str) else each["source"]
            for name, service in content["services"].items()
            if service.get("read_only")
            for each in service.get("secrets", [])
        }
        assert {name for name, secret in taken.items() if secret in written} == set(), file.name


def test_no_secret_has_a_value_or_a_default() -> None:
    texts = {file.name: file.read_text() for file in [*INFRA.rglob("*.yaml"), DOCKERFILE]}
    for name, text in texts.items():
        values = re.findall(
            rf"^\s*-?\s*(?:{'|'.join(SECRETS)}|\w*PASSWORD|\w*SECRET\w*)[:=] *(.*)$", text, re.MULTILINE
        )
        assert [value for value in values if not re.match(r"\$\{\w+:\?", value)] == [], name
        assert not re.search(r"://[^/\s:@]+:[^/\s@]+@", text), name


def test_mlflow_runs_with_its_auth_app_everywhere_and_with_the_settings_of_the_command() -> None:
    compose, helm = yaml.safe_load(COMPOSE.read_text())["services"], yaml.safe_load(MLFLOW.read_text())
    assert "--app-name=basic-auth" in compose["mlflow"]["command"]
    assert helm["server"]["value_options"]["app_name"] == "basic-auth"
    url = "postgresql://cellworks@{}:5432/cellworks_mlflow"
    assert (INFRA / "compose" / "mlflow-auth.ini").read_text() == settings_text(url.format("postgres"))
    maps = {
        each["metadata"]["name"]: each["data"]
        for each in yaml.safe_load_all((INFRA / "kubernetes" / "stores.yaml").read_text())
    }
    assert maps["cellworks-mlflow-auth"]["auth.ini"] == settings_text(url.format("postgres.example.internal"))
    told = [compose["mlflow"]["environment"], {each["name"]: each.get("value", "") for each in helm["env"]}]
    for environment in told:
        assert environment["MLFLOW_BASIC_AUTH_FAIL_CLOSED"] == "true"
        assert {"MLFLOW_AUTH_CONFIG_PATH", "MLFLOW_FLASK_SERVER_SECRET_KEY"} <= environment.keys()
    assert compose["init"]["environment"][GATEWAY_VARIABLE] == "none", "a site with roles is refused where nobody asks"
    for variable in (ADMIN_VARIABLE, VIEWER_VARIABLE, GATEWAY_VARIABLE):
        assert variable in compose["init"]["environment"]
        assert variable not in compose["mlflow"]["environment"]  # the server needs neither
        assert variable in (INFRA / "kubernetes" / "init.yaml").read_text()


def test_compose_has_the_servers_of_the_command() -> None:
    names = ["postgres", "s3", "mlflow", "code-demo", "webserver", "daemon", "proxy"]
    assert [each.partition("-")[0] for each in names] == [
        each for each in yaml.safe_load(COMPOSE.read_text())["services"] if each not in ("init", "metrics")
    ]
    ours = Settings(
        port=8080, ports=dict.fromkeys(names, 1), sites=("demo",), postgres_url="postgresql://a@b/c",
        owns_postgres=False, endpoint="http://b", s3_url="s3://b/p", owns_s3=False, socket="s", stores_only=False,
    )  # fmt: skip
    started = [each.name for each in layout.services_of(Home(ROOT), ours)]
    assert started == names[2:]


def test_prometheus_reaches_the_figures_of_containers_and_nobody_else_does() -> None:
    compose = yaml.safe_load(COMPOSE.read_text())
    (container,) = (each for file, each in containers() if file == "metrics.yaml")
    assert compose["services"]["metrics"]["command"] == container["args"]
    words, port = container["args"][1:3], container["ports"][0]["containerPort"]
    known: Any = get_command(app)
    for word in words:
        known = known.commands[word]
    given = known.make_context("serve", [*container["args"][3:]]).params
    assert (given["host"], given["port"]) == ("0.0.0.0", port)
    assert compose["services"]["metrics"]["networks"] == ["inside"]
    assert compose["networks"]["inside"]["internal"]
    (policy,) = (
        each
        for each in yaml.safe_load_all((INFRA / "kubernetes" / "network.yaml").read_text())
        if each["spec"]["podSelector"] == {"matchLabels": {"app": "cellworks-metrics"}}
    )
    assert policy["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": port}]
    listed = yaml.safe_load((INFRA / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == [file.name for file in MANIFESTS]


@pytest.mark.parametrize("variable", ["SITES", "BIND", "DAGSTER_UPSTREAM", "MLFLOW_UPSTREAM"])
def test_whoever_uses_the_caddyfile_sets_what_it_asks_for(variable: str) -> None:
    name = f"CELLWORKS_PROXY_{variable}" if variable in {"SITES", "BIND"} else f"CELLWORKS_{variable}"
    for file in (INFRA / "caddy" / "Caddyfile", COMPOSE, INFRA / "kubernetes" / "proxy.yaml"):
        assert name in file.read_text(), file.name


def test_the_caddyfile_is_one_that_caddy_takes() -> None:
    run("caddy", "validate", "--adapter", "caddyfile", "--config", INFRA / "caddy" / "Caddyfile")
