"""Renders the chart with the real `helm`: values in, Kubernetes objects out."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests import yamls
from tests.controlplane import binaries

CHART = Path(__file__).parents[2] / "charts" / "storage-initializer-webhook"
CHART_VALUES = CHART / "values.yaml"
VALUE_SETS = sorted(CHART.glob("ci/*-values.yaml"))
RELEASE = "storage-webhook"
NAMESPACE = "storage-system"
# The chart's full name equals the release's name, because that contains `storage-webhook`.
FULLNAME = RELEASE

Object = dict[str, Any]


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm. The caller checks the exit code."""
    command = [binaries.helm(), *arguments]
    return subprocess.run(command, env=binaries.environ(), capture_output=True, text=True, check=False)


def values(**settings: Any) -> list[str]:
    """Options that set values. `__` in a key stands for a dot; values are encoded as JSON."""
    return [
        option
        for key, value in settings.items()
        for option in ("--set-json", f"{key.replace('__', '.')}={json.dumps(value)}")
    ]


def rendering_error(*arguments: str | Path) -> str:
    """The error message of helm for these options."""
    run = helm("template", RELEASE, CHART, "--namespace", NAMESPACE, *arguments)
    assert run.returncode, "helm rendered the chart"
    return run.stderr


def render(*arguments: str | Path) -> list[Object]:
    """All objects of a release, including those of `helm test`."""
    run = helm("template", RELEASE, CHART, "--namespace", NAMESPACE, *arguments)
    assert run.returncode == 0, run.stderr
    return yamls.documents(run.stdout)


def is_hook(rendered: Object) -> bool:
    """Whether an object is created only by `helm test`."""
    return "helm.sh/hook" in rendered["metadata"].get("annotations", {})


def of_kind(kind: str, objects: list[Object]) -> list[Object]:
    """The release's own objects of a kind."""
    return [each for each in objects if each["kind"] == kind and not is_hook(each)]


def one(kind: str, objects: list[Object]) -> Object:
    """The release's only object of a kind."""
    (found,) = of_kind(kind, objects)
    return found
