"""The chart through the real `helm`: values in, Kubernetes objects out."""

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
# The name that certificates and bindings carry: the release's, since the chart's says the same.
FULLNAME = RELEASE

Object = dict[str, Any]


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm and wait; the caller looks at the exit code."""
    command = [binaries.helm(), *arguments]
    return subprocess.run(command, env=binaries.environ(), capture_output=True, text=True, check=False)


def values(**settings: Any) -> list[str]:
    """Options that set values: keys with `__` for a dot, values as JSON."""
    return [
        option
        for key, value in settings.items()
        for option in ("--set-json", f"{key.replace('__', '.')}={json.dumps(value)}")
    ]


def refusal(*arguments: str | Path) -> str:
    """Why helm does not render the chart with these options."""
    run = helm("template", RELEASE, CHART, "--namespace", NAMESPACE, *arguments)
    assert run.returncode, "helm rendered the chart"
    return run.stderr


def render(*arguments: str | Path) -> list[Object]:
    """All objects of a release, the test's among them."""
    run = helm("template", RELEASE, CHART, "--namespace", NAMESPACE, *arguments)
    assert run.returncode == 0, run.stderr
    return yamls.documents(run.stdout)


def is_hook(rendered: Object) -> bool:
    """Whether an object exists only while `helm test` runs."""
    return "helm.sh/hook" in rendered["metadata"].get("annotations", {})


def of_kind(kind: str, objects: list[Object]) -> list[Object]:
    """The release's own objects of a kind."""
    return [each for each in objects if each["kind"] == kind and not is_hook(each)]


def one(kind: str, objects: list[Object]) -> Object:
    """The release's only object of a kind."""
    (found,) = of_kind(kind, objects)
    return found
