"""Checks of the Dockerfile without a build. `make image-test` builds and runs the image."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "Dockerfile"
VALUES = yaml.safe_load((ROOT / "charts/storage-initializer-webhook/values.yaml").read_text())
LOCKS = ("requirements.lock", "requirements-otel.lock")


def instructions() -> list[tuple[str, str]]:
    """All instructions in order, without comments."""
    structure = DockerfileParser(str(DOCKERFILE)).structure
    return [(each["instruction"], each["value"]) for each in structure if each["instruction"] != "COMMENT"]


def last_stage() -> list[tuple[str, str]]:
    """The instructions of the final stage."""
    found = instructions()
    begin = max(index for index, (name, _) in enumerate(found) if name == "FROM")
    return found[begin:]


def of(name: str, among: list[tuple[str, str]]) -> list[str]:
    return [value for found, value in among if found == name]


def hadolint(dockerfile: str) -> subprocess.CompletedProcess[str]:
    program = Path(sysconfig.get_path("scripts"), "hadolint")
    return subprocess.run([program, "-"], input=dockerfile, capture_output=True, text=True, check=False)


def test_hadolint_reports_nothing() -> None:
    found = hadolint(DOCKERFILE.read_text())
    assert (found.returncode, found.stdout) == (0, "")
    assert "DL3007" in hadolint("FROM debian:latest\n").stdout, "hadolint must report a known problem"


def test_the_user_is_that_of_the_chart_and_not_root() -> None:
    (user,) = of("USER", last_stage())
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "must be numeric, or kubelet cannot verify runAsNonRoot"
    context = VALUES["podSecurityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"


def test_the_final_stage_only_copies() -> None:
    names = {name for name, _ in last_stage()}
    assert names == {"FROM", "COPY", "ENV", "ARG", "LABEL", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}
    assert all(value.startswith("--from=build ") for value in of("COPY", last_stage()))


def test_there_is_no_healthcheck() -> None:
    assert of("HEALTHCHECK", instructions()) == []


def test_labels() -> None:
    labels = DockerfileParser(str(DOCKERFILE)).labels
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}title"] == project["name"]
    assert labels[f"{prefix}description"] == project["description"]
    assert labels[f"{prefix}licenses"] == project["license"]
    assert {f"{prefix}version", f"{prefix}revision"} < labels.keys()
    assert set(of("ARG", last_stage())) == {"VERSION=0.0.0", "REVISION=unknown"}


def test_every_base_image_has_a_fixed_tag() -> None:
    for base in DockerfileParser(str(DOCKERFILE)).parent_images:
        name, _, tag = base.rpartition(":")
        assert name, f"{base} has no tag"
        assert tag != "latest"


def test_it_does_not_depend_on_a_platform() -> None:
    text = " ".join(value for _, value in instructions())
    assert not re.search(r"amd64|arm64|x86_64|aarch64|--platform", text)


def test_packages_are_installed_from_the_lock_with_hashes() -> None:
    commands = [command.strip() for value in of("RUN", instructions()) for command in value.split("&&")]
    installs = [command for command in commands if " install " in command]
    fetched = [command for command in installs if "--no-deps" not in command]
    assert len(fetched) == 1
    assert {"--require-hashes", "--only-binary", ":all:"} < set(shlex.split(fetched[0]))
    assert fetched[0].endswith("-r ${REQUIREMENTS}")
    assert "REQUIREMENTS=requirements.lock" in of("ARG", instructions())
    # The only other package is the project itself.
    assert [command.split()[-1] for command in installs if "--no-deps" in command] == ["."]


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_in_a_lock_has_one_version_and_hashes(name: str) -> None:
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / name).read_text(), flags=re.MULTILINE | re.IGNORECASE)[1:]
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+ ", entry, re.IGNORECASE), entry.splitlines()[0]
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_copied_files_exist_and_are_not_ignored() -> None:
    sent = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    copied = [value.split()[:-1] for value in of("COPY", instructions()) if not value.startswith("--from")]
    wanted = {name for names in copied for name in names if name != "${REQUIREMENTS}"} | set(LOCKS)
    assert wanted == sent
    assert all((ROOT / name).exists() for name in wanted)


def test_the_entrypoint_and_the_ports() -> None:
    (command,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert json.loads(of("ENTRYPOINT", last_stage())[0])[0].endswith(f"/bin/{command}")
    assert of("EXPOSE", last_stage()) == [f"{VALUES['port']} {VALUES['metrics']['port']}"]
