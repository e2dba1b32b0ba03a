"""docs/shared-cache.md is correct: its commands run, its messages exist."""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.download.pods import Claim, contents, shell
from webhook import annotations
from webhook.cli.app import app
from webhook.download.command import STOCK_COMMAND
from webhook.download.composition import program_text
from webhook.download.key import PATTERN, key

TEXT = (Path(__file__).parents[2] / "docs" / "shared-cache.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)
MANIFESTS: list[Any] = [
    each for kind, block in BLOCKS if kind == "yaml" for each in yaml.safe_load_all(block) if "kind" in each
]


def test_commands_run_as_documented(claim: Claim):
    assert claim.run(shell('printf x > "$1/weights"')).process.returncode == 0
    lines = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if re.match("storage-webhook cache (list|verify|prune) ", line)]
    commands += [container["args"] for container in _cron_job()["containers"]]
    assert len(commands) == 4
    for command in commands:
        words = [word.replace("/cache/models", str(claim.cache.directory)) for word in command]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
    assert contents(claim.model) == {"weights": b"x"}


def test_the_cache_is_warmed_as_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without --apply, which needs a cluster."""
    deployment = next(each for each in MANIFESTS if each["kind"] == "Deployment")
    (tmp_path / "deployment.yaml").write_text(yaml.safe_dump(deployment))
    monkeypatch.chdir(tmp_path)
    lines = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("storage-webhook cache warm ")]
    printed = [
        CliRunner().invoke(app, [word for word in each if word not in ("--apply", "--wait")]) for each in commands
    ]
    assert [result.exit_code for result in printed] == [0] * 3, printed
    jobs = [list(yaml.safe_load_all(result.stdout)) for result in printed]
    assert [len(each) for each in jobs] == [1, 1, 2]


def test_list_prints_the_documented_table(claim: Claim):
    assert claim.run(shell('printf x > "$1/weights"')).process.returncode == 0
    then = time.time() - 31 * 86400
    os.utime(claim.cache.record, (then, then))
    result = CliRunner().invoke(app, ["cache", "list", str(claim.cache.directory)])
    quoted = next(block for _, block in BLOCKS if block.startswith("KEY"))
    assert result.stdout.splitlines()[0].split() == quoted.splitlines()[0].split()
    row = next(line for line in quoted.splitlines() if "s3://models/iris" in line)
    assert row.split()[0] == claim.model.name
    assert row.split()[-3:] == result.stdout.splitlines()[1].split()[-3:]


def _cron_job() -> Any:
    job = next(each for each in MANIFESTS if each["kind"] == "CronJob")
    return job["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def test_the_cron_job_prunes_the_cache_of_the_deployment():
    deployment = next(each for each in MANIFESTS if each["kind"] == "Deployment")
    template = deployment["spec"]["template"]
    assert template["metadata"]["annotations"][str(annotations.CACHE)] == "pvc://model-cache/models"
    claim = next(each for each in MANIFESTS if each["kind"] == "PersistentVolumeClaim")["metadata"]["name"]
    job = _cron_job()
    assert job["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim == "model-cache"
    assert job["containers"][0]["volumeMounts"][0]["mountPath"] + "/models" in job["containers"][0]["args"]
    assert job["securityContext"]["fsGroup"] == template["spec"]["securityContext"]["fsGroup"]


def test_the_deployment_downloads_into_the_directory_that_its_containers_mount(claim: Claim, tmp_path: Path):
    """Run the injected init container with a directory as the claim and a script as the image's entry point."""
    deployment = next(each for each in MANIFESTS if each["kind"] == "Deployment")
    result = CliRunner().invoke(app, ["mutate"], input=yaml.safe_dump(deployment))
    assert result.exit_code == 0, result.output
    assert "\ndef open_directory(root,directory):" in re.sub(r"(?m)^ +", "", result.stdout), (
        "the program must be a readable YAML block"
    )
    pod = yaml.safe_load(result.stdout)["spec"]["template"]["spec"]
    (initializer,), (server,) = pod["initContainers"], pod["containers"]
    (mount,) = server["volumeMounts"]
    assert (mount["mountPath"], mount["readOnly"]) == ("/mnt/models", True)

    entrypoint = tmp_path / "entrypoint"
    entrypoint.write_text('#!/bin/sh\necho "$1" > "$2/uri"\n')
    entrypoint.chmod(0o755)
    root = initializer["volumeMounts"][0]["mountPath"]
    words = [word.replace(root, str(claim.root)) for word in initializer["command"] + initializer["args"]]
    words = [str(entrypoint) if word in STOCK_COMMAND else word for word in words]
    words = [word.replace("/dev/termination-log", str(tmp_path / "log")) for word in words]
    subprocess.run([sys.executable, *words[1:]], check=True)
    assert contents(claim.root / mount["subPath"]) == {"uri": b"hf://meta-llama/Llama-3.1-8B-Instruct\n"}


def test_settings_are_valid():
    (block,) = (block for kind, block in BLOCKS if kind == "yaml" and block.startswith("storageDefaults"))
    result = CliRunner().invoke(app, ["check-settings", "--strict"], input=block)
    assert result.exit_code == 0, result.output
    assert "team-a: pvc://model-cache/models" in result.stdout


def test_messages_exist_in_the_program():
    table = TEXT.partition("## When it does not work")[2]
    messages = [
        each.rstrip("… ") for each in re.findall(r"^\| `([^`]+)`(?! \(from the kubelet\))", table, re.MULTILINE)
    ]
    assert len(messages) > 5
    source = re.sub(r"\{[^}]*\}", "", program_text("in_cache", supervise=True, digest=True))
    for message in messages:
        # The program puts these together: the class, what took the time, and the reason.
        for part in re.split(r" … |: |(?<=the wait) |(?<=the download) |(?<=the cache claim) ", message):
            assert part.strip("… ") in source, part


def test_keys_are_valid():
    assert set(re.findall(r"\b[0-9a-f]{32}\b", TEXT)) == {key("hf://org/model:v1"), key("s3://models/iris")}
    assert PATTERN.fullmatch(key("s3://models/iris"))
