"""Several models of one pod, also one inside another."""

import random

from tests.e2e.api import Object
from tests.mutation import several
from tests.node import images
from tests.node.cases import MODEL, case, digests
from tests.node.cluster import Cluster
from tests.node.concurrency import shared
from tests.node.servers import Web
from webhook.annotations import READ_ONLY

FILE = {"model.joblib": b"a scikit-learn model"}
CLAIM = {**{f"bert/{path}": content for path, content in MODEL.items()}, "iris/model.joblib": FILE["model.joblib"]}
ADAPTER = {"adapter.bin": b"an adapter"}
LAYOUTS = 12


@shared
def shared_namespace(cluster: Cluster, s3: str) -> str:
    name = cluster.namespace()
    cluster.s3_account(name, s3)
    cluster.claim(name, "models", CLAIM)
    return name


def adapter_of(web: Web) -> str:
    return f"{web.put('adapters', ADAPTER)}/adapter.bin"


def at(directory: str, files: dict[str, bytes]) -> dict[str, str]:
    return {f"{directory.removeprefix('/mnt/')}/{path}": digest for path, digest in digests(files).items()}


@case("`s3://`, `http://`, `pvc://` (directory and file) and `oci+native://` in one pod", "every file")
def test_every_kind(cluster: Cluster, web: Web, s3: str) -> None:
    namespace, adapter = shared_namespace(cluster, s3), adapter_of(web)
    expected = {
        ("s3://models/bert", "/mnt/base"): MODEL,
        (adapter, "/mnt/adapters/one"): ADAPTER,
        ("pvc://models/bert", "/mnt/adapters/two"): MODEL,
        ("pvc://models/iris/model.joblib", "/mnt/iris"): FILE,
        (f"oci+native://{images.MODELCAR}", "/mnt/image"): images.MODEL,
    }
    read = cluster.report(namespace, several(*expected), MODEL="/mnt")
    found = (at(directory, files) for (_, directory), files in expected.items())
    assert read.files == {path: digest for each in found for path, digest in each.items()}


def layouts(adapter: str) -> list[dict[tuple[str, str], dict[str, bytes]]]:
    """Downloads, claims and images at random paths, often inside each other: sources and paths, and their files."""
    draw = random.Random(16)
    contents = {
        adapter: ADAPTER,
        "pvc://models/bert": MODEL,
        "pvc://models/iris/model.joblib": FILE,
        f"oci+native://{images.MODELCAR}": images.MODEL,
    }
    found: list[dict[tuple[str, str], dict[str, bytes]]] = []
    while len(found) < 4 * LAYOUTS:
        paths = {"/mnt/" + "/".join(draw.choices("abc", k=draw.randint(1, 3))) for _ in range(draw.randint(3, 5))}
        sources = [adapter, "pvc://models/bert", *draw.choices(list(contents), k=len(paths) - 2)]
        found.append({(uri, path): contents[uri] for uri, path in zip(sources, sorted(paths), strict=False)})
    return found


@case("`http://`, `pvc://` and `oci+native://` at generated paths inside each other", "every file")
def test_nested_paths(cluster: Cluster, web: Web, s3: str) -> None:
    namespace, adapter = shared_namespace(cluster, s3), adapter_of(web)
    """Only layouts that the webhook admits count."""
    started: dict[str, dict[tuple[str, str], dict[str, bytes]]] = {}
    for number, layout in enumerate(layouts(adapter)):
        pod: Object = several(*layout)
        pod["metadata"]["annotations"][str(READ_ONLY)] = str(number % 2 == 0).lower()
        if len(started) < LAYOUTS and not cluster.rejection(namespace, pod):
            started[cluster.create(namespace, pod, MODEL="/mnt")] = layout
    assert len(started) == LAYOUTS
    for name, layout in started.items():
        cluster.await_end(namespace, name)
        expected: dict[str, str] = {}
        for (_, directory), files in layout.items():
            expected |= at(directory, files)
        assert cluster.read_report(namespace, name).files == expected, layout
