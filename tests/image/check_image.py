"""Builds and runs the image (`make image-test`). debootstrap creates the base image, so no registry is needed.

Needs podman, debootstrap, root, and network access to Debian and PyPI. It is not part of `make test`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving import pod, response_of, review

ROOT = Path(__file__).parents[2]
RELEASE = "trixie"
BASE = f"localhost/python-of-debian:{RELEASE}"
IMAGE = "localhost/storage-initializer-webhook:tested"
# The restrictions of the chart. The host's network avoids publishing ports, and the limits work on any machine.
RESTRICTIONS = (
    *("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--network=host"),
    *("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"),
)


def run(*command: str | Path) -> str:
    """The output of a command. Fails with its error message."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{command}:\n{(done.stdout + done.stderr)[-3000:]}"
    return done.stdout


def inside(image: str, command: str) -> str:
    """The output of a shell command, run in the webhook's directory of the image."""
    options = ("--entrypoint", "/bin/sh", "--workdir", "/opt/storage-webhook")
    return run("podman", "run", "--rm", *RESTRICTIONS, *options, image, "-c", command)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base image with Debian and its Python, created once."""
    for program in ("podman", "debootstrap"):
        assert shutil.which(program), f"{program} is missing: apt install podman debootstrap"
    if subprocess.run(["podman", "image", "exists", BASE], check=False).returncode:
        directory = tmp_path_factory.mktemp("base")
        packages = "--include=python3,python3-pip,python3-venv,ca-certificates"
        run("debootstrap", "--variant=minbase", packages, RELEASE, directory / "root")
        archive = directory / "root.tar"
        run("tar", "--directory", directory / "root", "--create", "--file", archive, "--exclude=./var/cache/apt", ".")
        run("podman", "import", archive, BASE)
        shutil.rmtree(directory)
    return BASE


@pytest.fixture(scope="session")
def image(base: str) -> str:
    """The image. The environment variable BUILD_FLAGS is passed to the build."""
    flags = f"BUILD_FLAGS=--network=host {os.environ.get('BUILD_FLAGS', '')}"
    run("make", "image", "ENGINE=podman", f"IMAGE={IMAGE}", f"PYTHON_IMAGE={base}", flags)
    return IMAGE


@pytest.fixture(scope="session")
def config(image: str) -> Any:
    """The image's configuration."""
    return json.loads(run("podman", "image", "inspect", image))[0]["Config"]


@pytest.fixture
def container(image: str) -> Iterator[subprocess.Popen[str]]:
    """`storage-webhook serve --dev` in the image, with the restrictions of the chart."""
    name = f"storage-webhook-{uuid.uuid4().hex[:8]}"
    serve = ("serve", "--dev", "--log-format", "json", "--port", "0")
    command = ["podman", "run", "--rm", "--name", name, *RESTRICTIONS, image, *serve]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        subprocess.run(["podman", "rm", "--force", "--ignore", name], check=False, capture_output=True)
        process.communicate(timeout=60)


def test_container_responds_and_terminates_cleanly(container: subprocess.Popen[str]) -> None:
    assert container.stdout is not None
    url = next(line["address"] for line in map(json.loads, container.stdout) if line["event"] == "serving")
    with httpx.Client(base_url=url, verify=False, trust_env=False) as client:
        response = response_of(client.post("/mutate-pods", json=review(pod(uri="s3://models/iris"))))
    assert any(operation["path"] == "/spec/initContainers" for operation in response["patch"])
    container.terminate()
    assert container.wait(60) == 0


def test_labels_and_user(config: Any) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == project["version"]
    assert labels["org.opencontainers.image.revision"] == run("git", "rev-parse", "HEAD").strip()
    assert config["User"] == "65532:65532"
    assert "Healthcheck" not in config


def test_image_has_no_build_tools(image: str) -> None:
    found = inside(image, "ls bin").split()
    assert "storage-webhook" in found
    assert not [name for name in found if name.startswith(("pip", "hatch"))]


def test_build_is_reproducible(image: str) -> None:
    hashed = "find . -type f -print0 | xargs -0 sha256sum"
    first = set(inside(image, hashed).splitlines())
    assert len(first) > 1000
    flags = f"BUILD_FLAGS=--no-cache --network=host {os.environ.get('BUILD_FLAGS', '')}"
    run("make", "image", "ENGINE=podman", f"IMAGE={image}", f"PYTHON_IMAGE={BASE}", flags)
    assert set(inside(image, hashed).splitlines()) ^ first == set()


# The commands of the Makefile, in a copy of the checkout that the container may write to.
SUITE = """
python3 -m venv .venv
.venv/bin/pip install -q --require-hashes -r requirements-dev.lock
.venv/bin/pip install -q --no-deps --no-build-isolation -e .
.venv/bin/pytest -n 2 -q -m "not e2e and not slow"
"""


def test_suite_without_an_api_server_passes_on_the_python_of_the_image(base: str, tmp_path: Path) -> None:
    archive, checkout = tmp_path / "checkout.tar", tmp_path / "checkout"
    run("git", "archive", "--output", archive, "HEAD")
    checkout.mkdir()
    run("tar", "--directory", checkout, "--extract", "--file", archive)
    # Some tests mount file systems.
    options = (
        "--privileged",
        "--network=host",
        "--ulimit=nofile=4096:4096",
        "--ulimit=nproc=4096:4096",
        "--workdir=/checkout",
    )
    flags = os.environ.get("BUILD_FLAGS", "").split()
    run("podman", "run", "--rm", *options, *flags, f"--volume={checkout}:/checkout", base, "sh", "-ec", SUITE)
