"""The chart's CronJobs for shared caches."""

from pathlib import Path

import pytest

from tests.chart.rendering import of_kind, values
from tests.e2e.api import Object
from tests.e2e.offline import kubectl
from tests.e2e.release import installed
from tests.node import images, webhook_image
from tests.node.cases import case, digests
from tests.node.cluster import Cluster, is_running
from tests.node.servers import Web
from tests.node.test_cache import WEIGHTS, cached


def pruned(namespace: str) -> list[str]:
    """Options of helm for a cache that keeps only what pods mount, and for webhook pods that do not run."""
    cache = {"claim": "cache", "namespace": namespace, "directory": "models", "maxSize": "1Ki", "grace": "0s"}
    image = {"image__repository": webhook_image.REPOSITORY, "image__tag": webhook_image.TAG}
    return values(caches=[{**cache, "runAsUser": images.USER}], nodeSelector={"runs": "nowhere"}, **image)


def has_ended(job: Object) -> bool:
    conditions = {each["type"]: each["status"] for each in job["status"].get("conditions", [])}
    return "True" in (conditions.get("Complete"), conditions.get("Failed"))


def models(directory: Path) -> list[Path]:
    return list(directory.rglob("weights.bin"))


@pytest.fixture
def program(cluster: Cluster) -> None:
    """The image of this program, on the node."""
    webhook_image.load(cluster.node.directory)


@case("chart's `caches`, Job made from the CronJob", "an unused model is removed; the model of a running pod stays")
@pytest.mark.usefixtures("program")
def test_the_nightly_job_prunes(cluster: Cluster, web: Web) -> None:
    namespace, serving, unused = cluster.namespace(), web.put("nightly", WEIGHTS), web.put("daily", WEIGHTS)
    directory = cluster.claim(namespace, "cache", {})
    cluster.report(namespace, cached(unused))
    name = cluster.create(namespace, cached(serving, restartPolicy="Always"), STAY="1")
    cluster.wait_pod(namespace, name, is_running)
    assert len(models(directory)) == 2
    plane = cluster.api.plane
    with installed(plane, f"nightly-{namespace}", *pruned(namespace)) as release:
        (cron_job,) = of_kind("CronJob", release.objects)
        source = f"--from=cronjob/{cron_job['metadata']['name']}"
        kubectl(plane, "create", "job", "now", source, "--namespace", namespace)
        job = cluster.wait(f"/apis/batch/v1/namespaces/{namespace}/jobs", "now", has_ended)
        log = kubectl(plane, "logs", "job/now", "--namespace", namespace)
    assert job["status"].get("succeeded") == 1, log
    assert len(models(directory)) == 1, log
    cluster.kill_server(namespace, name)
    assert cluster.serving_report(namespace, name, restarts=1).files == digests(WEIGHTS)
