"""Runs the commands of the README's section on installation."""

import re
from pathlib import Path

from tests import yamls
from tests.chart.rendering import CHART
from tests.e2e.api import admitted, eventually
from tests.e2e.controllers import controller, pod_of
from tests.e2e.pods import unnamed
from tests.e2e.process import running_webhook
from tests.e2e.release import Release, point_at
from tests.mutation import plain_pod

ROOT = CHART.parents[1]
BLOCKS = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


def section(title: str) -> list[tuple[str, str]]:
    """The code blocks of a section, as language and text."""
    text = (ROOT / "README.md").read_text()
    return BLOCKS.findall(text.split(f"\n## {title}\n")[1].split("\n## ")[0])


def test_installation_and_an_annotated_deployment(api, authority, shell, tmp_path: Path):
    (install, apply, show), (expected,) = (
        [text for language, text in section("Install") if language == wanted] for wanted in ("sh", "")
    )
    assert "STATUS: deployed" in shell(install)
    objects = yamls.documents(shell("helm get manifest storage-webhook --namespace storage-webhook"))
    release = Release("storage-webhook", list(objects))
    with running_webhook(tmp_path, ["serve"], authority) as webhook:
        point_at(api, release, webhook.url, authority.pem)
        eventually(lambda: api.injected("default", unnamed(plain_pod("s3://models/iris"))))
        shell(apply)
        _run_pods(api, "default", "iris")
        assert shell(show).strip() == expected.strip()


def _run_pods(api, namespace, name):
    """Create the ReplicaSet of the Deployment and its pod. No controllers run here."""
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace}}
    stored = api.get(deployment)
    spec = {"selector": stored["spec"]["selector"], "template": stored["spec"]["template"]}
    replica_set = {**deployment, "kind": "ReplicaSet", "spec": spec}
    pod = pod_of(admitted(api.apply(replica_set)))
    with controller(api, "replicaset-controller") as http:
        admitted(http.post(f"/api/v1/namespaces/{namespace}/pods", json=pod))
