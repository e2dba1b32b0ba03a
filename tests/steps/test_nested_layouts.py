"""Claims and images inside the directory of a download, in every layout that the webhook admits.

A small model of the kubelet and the container runtime starts the containers: what it leaves out, a real node shows.
"""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.mutation import JsonObject, answer, denied, initializer, mount_list, mutated, several
from webhook import annotations as keys

ON = {"storageInitializer": {"enableModelcar": True}}
Directories = dict[str, bool]
"""The directories in a volume by path, and whether the initializer may write to them. "" is the volume itself."""


class Node:
    """The volumes of a pod while its containers start one after the other."""

    def __init__(self, pod: JsonObject) -> None:
        self.volumes: dict[str, Directories] = {volume["name"]: {"": True} for volume in pod["spec"]["volumes"]}
        self.claims = {volume["name"] for volume in pod["spec"]["volumes"] if "emptyDir" not in volume}

    def start(self, container: JsonObject) -> Container:
        """Create subPaths as the kubelet does, and mount points as runc does."""
        for mount in container["volumeMounts"]:
            self._create_sub_path(mount)
        started = Container(self)
        # containerd sorts mounts by the number of names in the path.
        for mount in sorted(container["volumeMounts"], key=lambda mount: mount["mountPath"].count("/")):
            started.mount(mount)
        return started

    def _create_sub_path(self, mount: JsonObject) -> None:
        path = mount.get("subPath", "")
        directories = self.volumes[mount["name"]]
        if path not in directories:
            # Kubelets before Kubernetes 1.35 give only the last directory the mode of the volume.
            _create(directories, path, writable=False)
            directories[path] = True


class Container:
    """The mounts of a started container."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._mounts: dict[str, JsonObject] = {}

    def mount(self, mount: JsonObject) -> None:
        outer = self._find(mount["mountPath"])
        if outer is not None:
            directories, path = self._location(outer, mount["mountPath"])
            if path not in directories:
                assert not outer.get("readOnly"), f"no mount point {mount['mountPath']}"
                _create(directories, path, writable=False)
        self._mounts[mount["mountPath"]] = mount

    def write(self, path: str) -> None:
        """Create a directory and write to it, as a user who is not root."""
        mount = self._find(path)
        assert mount is not None, path
        assert not mount.get("readOnly"), path
        directories, inside = self._location(mount, path)
        existing = max((each for each in directories if f"{inside}/".startswith(f"{each}/") or not each), key=len)
        assert directories[existing], f"permission denied: {path}"
        _create(directories, inside, writable=True)

    def volume_at(self, path: str) -> str:
        mount = self._find(path)
        assert mount is not None, path
        if mount["name"] not in self._node.claims:
            directories, inside = self._location(mount, path)
            assert directories.get(inside), path
        return str(mount["name"])

    def _find(self, path: str) -> JsonObject | None:
        outer = [each for each in self._mounts if f"{path}/".startswith(f"{each}/")]
        return self._mounts[max(outer, key=len)] if outer else None

    def _location(self, mount: JsonObject, path: str) -> tuple[Directories, str]:
        inside = f"{mount.get('subPath', '')}{path.removeprefix(mount['mountPath'])}"
        return self._node.volumes[mount["name"]], inside.strip("/")


def _create(directories: Directories, path: str, *, writable: bool) -> None:
    names = path.split("/")
    for end in range(1, len(names) + 1):
        directories.setdefault("/".join(names[:end]), writable)


_names = st.lists(st.sampled_from("abc"), min_size=1, max_size=4)
_paths = _names.map(lambda names: "/mnt/" + "/".join(names))
_uris = st.sampled_from(
    ["s3://bucket/model", "hf://o/m", "pvc://foo/x", "pvc://foo/x/m.onnx", "pvc://bar", "oci+native://r.example/m:1"]
)
_layouts = st.lists(st.tuples(_uris, _paths), min_size=2, max_size=6, unique_by=lambda source: source[1])


def _is_downloaded(uri: str) -> bool:
    return uri.startswith(("s3", "hf"))


@given(_layouts, st.booleans())
def test_every_download_can_be_written_and_every_model_is_mounted(layout: list[tuple[str, str]], ro: bool) -> None:
    assume(any(_is_downloaded(uri) for uri, _ in layout))
    pod = several(*layout)
    pod["metadata"]["annotations"][str(keys.READ_ONLY)] = str(ro)
    assume(answer(pod, ON)["allowed"])
    pod = mutated(pod, ON)
    node = Node(pod)
    init_container = node.start(initializer(pod))
    for path in initializer(pod)["args"][1::2]:
        init_container.write(path)
    server = node.start(pod["spec"]["containers"][0])
    for uri, path in layout:
        arrival = f"{path}/m.onnx" if uri.endswith("m.onnx") else path
        assert (server.volume_at(arrival) in node.claims) is not _is_downloaded(uri)


def test_parents_of_a_nested_claim_are_mounted_from_the_volume_outer_ones_first() -> None:
    sources: list[Any] = [("s3://b/a", "/mnt/a"), ("s3://b/one", "/mnt/x/y/one"), ("pvc://foo/two", "/mnt/x/y/two")]
    pod = mutated(several(*sources))
    assert initializer(pod)["volumeMounts"] == [
        {"name": "mnt", "mountPath": "/mnt"},
        {"name": "mnt", "mountPath": "/mnt/x", "subPath": "x"},
        {"name": "mnt", "mountPath": "/mnt/x/y", "subPath": "x/y"},
        {"name": "mnt-x-y-two", "mountPath": "/mnt/x/y/two", "subPath": "two", "readOnly": True},
    ]
    assert [mount["mountPath"] for mount in mount_list(pod)] == ["/mnt/x/y/two", "/mnt"]


def test_the_number_of_parents_is_limited() -> None:
    downloads = [("s3://b/a", "/mnt/a"), ("s3://b/b", "/mnt/b")]
    claims = [(f"pvc://foo/{n}", f"/mnt/{n}" + 24 * "/d") for n in range(5)]
    assert "maximum is 100" in denied(several(*downloads, *claims))
    assert len(initializer(mutated(several(*downloads, *claims[:4])))["volumeMounts"]) == 1 + 4 * 25
