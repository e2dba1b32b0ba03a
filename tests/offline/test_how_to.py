"""The how-tos about downloads are correct: their commands run on their files, and print what they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.mutation import JsonObject, container, env, initializer, mount_list, names, volumes
from webhook.cli.app import app
from webhook.offline import manifests

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"# (\S+\.yaml)\n")
PAGES = ("download-options.md", "storage-containers.md")


def _blocks(page: str) -> list[tuple[str, str]]:
    return _BLOCK.findall((DOCS / page).read_text())


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with all files of the how-tos."""
    for page in PAGES:
        for language, text in _blocks(page):
            if language == "yaml" and (name := _NAME.match(text)):
                assert not (tmp_path / name[1]).exists(), f"{page}: {name[1]} is there twice"
                (tmp_path / name[1]).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str) -> Result:
    return CliRunner().invoke(app, shlex.split(command)[1:])


def injected(command: str) -> JsonObject:
    """The only pod that a `mutate` command of a how-to prints, with another output format."""
    result = run(re.sub(r" -o \w+", "", command))
    assert result.exit_code == 0, result.output
    (document,) = manifests.load(result.stdout)
    template: Any = document["spec"].get("template", document)
    return dict(template)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_runs(page: str) -> None:
    lines = [line for language, text in _blocks(page) if language == "sh" for line in text.splitlines()]
    commands = [line for line in lines if line.startswith("storage-webhook ")]
    assert commands
    for command in commands:
        result = run(command)
        assert result.exit_code == 0, f"{command}: {result.output}"
        assert result.stdout.strip()


def _variables(command: str) -> dict[str, Any]:
    return env(initializer(injected(command)))


def test_a_plug_in_downloads_its_scheme() -> None:
    pod = injected("storage-webhook mutate -f git-model.yaml --settings file:plug-in.yaml")
    found = initializer(pod)
    assert (found["image"], found["command"]) == ("registry.example.com/git-fetch:1", ["git-fetch", "--depth=1"])
    assert found["args"] == ["git://git.example.com/models/iris", "/mnt/models"]
    assert volumes(pod)["known-hosts"] == {"configMap": {"name": "known-hosts"}}


def test_a_proxy_is_for_every_download() -> None:
    assert _variables("storage-webhook mutate -f hub-model.yaml --settings file:proxy.yaml")["NO_PROXY"]


def test_a_tenant_has_its_own_place() -> None:
    command = "storage-webhook mutate -f hub-model.yaml --settings file:tenants.yaml"
    assert _variables(command)["HF_ENDPOINT"] == "https://hub-a.example.com"
    manifest = Path("hub-model.yaml")
    manifest.write_text(manifest.read_text().replace("team-a", "team-b"))
    assert _variables(command)["HF_ENDPOINT"] == "https://hub.example.com"


def test_the_token_of_the_server_is_copied_as_a_reference() -> None:
    variables = _variables("storage-webhook mutate -f gated.yaml")
    assert variables["HF_TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": "hf", "key": "HF_TOKEN"}}
    assert variables["HF_ENDPOINT"] == "https://hub.example.com"
    assert "LOG_LEVEL" not in variables


def test_listed_variables_are_set() -> None:
    variables = _variables("storage-webhook mutate -f listed.yaml")
    assert variables["HF_TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": "hf", "key": "token"}}
    assert (variables["HTTPS_PROXY"], variables["HF_XET_HIGH_PERFORMANCE"]) == ("http://proxy.example.com:3128", "0")


def test_a_download_gets_a_volume_of_its_own() -> None:
    pod = injected("storage-webhook mutate -f large-model.yaml --settings file:ephemeral.yaml")
    spec = volumes(pod)["kserve-provision-location"]["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert spec["storageClassName"] == "local-nvme"
    assert spec["resources"]["requests"]["storage"] == "200Gi"


def test_a_private_registry_has_a_policy_and_secrets() -> None:
    pod = injected("storage-webhook mutate -f large-model.yaml --settings file:private-registry.yaml")
    assert initializer(pod)["imagePullPolicy"] == "IfNotPresent"
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def test_a_download_has_no_cpu_limit() -> None:
    pod = injected("storage-webhook mutate -f large-model.yaml --settings file:no-cpu-limit.yaml")
    assert initializer(pod)["resources"]["limits"].keys() == {"memory"}


def test_the_download_stands_before_the_engine_builder() -> None:
    pod = injected("storage-webhook mutate -f engine.yaml -o diff")
    assert names(pod["spec"]["initContainers"]) == ["proxy", "storage-initializer", "build-engine"]
    model = [mount for mount in mount_list(pod, "build-engine") if mount["mountPath"] == "/mnt/models"]
    assert model == [mount for mount in mount_list(pod) if mount["mountPath"] == "/mnt/models"] != []
    assert "volumeMounts" not in container(pod, "proxy")
