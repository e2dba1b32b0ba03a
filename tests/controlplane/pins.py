"""The programs that the tests need, and the Go modules that pin them.

Each subdirectory with a go.mod pins one module. The version is read from there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Program:
    """One executable and how to build it.

    `directory` holds the go.mod, `module` is the Go module whose version names the build,
    `package` is the argument of `go build`, `minutes` the approximate duration on two cores, in the order of PROGRAMS
    and NODE_PROGRAMS.
    """

    name: str
    directory: str
    module: str
    package: str
    minutes: int


KUBE_APISERVER = Program(
    "kube-apiserver", "kubernetes", "k8s.io/kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", minutes=10
)
KUBECTL = Program("kubectl", "kubernetes", "k8s.io/kubernetes", "k8s.io/kubernetes/cmd/kubectl", minutes=1)
ETCD = Program("etcd", "etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", minutes=1)
HELM = Program("helm", "helm", "helm.sh/helm/v3", "helm.sh/helm/v3/cmd/helm", minutes=3)
KUBE_CONTROLLER_MANAGER = Program(
    "kube-controller-manager",
    "kubernetes",
    "k8s.io/kubernetes",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    minutes=2,
)
KUBE_SCHEDULER = Program(
    "kube-scheduler", "kubernetes", "k8s.io/kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler", minutes=1
)
KUBELET = Program("kubelet", "kubernetes", "k8s.io/kubernetes", "k8s.io/kubernetes/cmd/kubelet", minutes=3)
SETUP_ENVTEST = Program(
    "setup-envtest",
    "setup-envtest",
    "sigs.k8s.io/controller-runtime/tools/setup-envtest",
    "sigs.k8s.io/controller-runtime/tools/setup-envtest",
    minutes=1,
)


def _containerd(name: str, minutes: int) -> Program:
    module = "github.com/containerd/containerd/v2"
    return Program(name, "containerd", module, f"{module}/cmd/{name}", minutes)


CONTAINERD = _containerd("containerd", minutes=3)
CONTAINERD_SHIM = _containerd("containerd-shim-runc-v2", minutes=1)
CTR = _containerd("ctr", minutes=1)

ENVTEST_PROGRAMS = (KUBE_APISERVER, ETCD, KUBECTL)
"""Programs in the official envtest archive."""
PROGRAMS = (*ENVTEST_PROGRAMS, HELM)
"""Programs that the tests with an API server need."""
NODE_PROGRAMS = (KUBE_CONTROLLER_MANAGER, KUBE_SCHEDULER, KUBELET, CONTAINERD, CONTAINERD_SHIM, CTR)
"""Programs that the tests with a node need as well."""


def version(program: Program) -> str:
    """The pinned version, with its `v`: `v1.35.4`."""
    return module_version(program, program.module)


def module_version(program: Program, module: str) -> str:
    """The version of `module` in the program's go.mod. Raises LookupError if it is not required there."""
    match = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", _go_mod(program), re.MULTILINE)
    if match is None:
        raise LookupError(f"{program.directory}/go.mod does not require {module}")
    return match[1]


def oldest_go() -> tuple[int, ...]:
    """The oldest Go version that can build all programs, from the go.mod files: (1, 26, 0)."""
    lines = re.findall(r"^go (\S+)", "\n".join(map(_go_mod, (*PROGRAMS, *NODE_PROGRAMS, SETUP_ENVTEST))), re.MULTILINE)
    return max(map(numbers, lines))


def numbers(version: str) -> tuple[int, ...]:
    """`v1.35.4`, `go1.26.6` or `1.26rc1` as comparable numbers."""
    return tuple(int(digits) for digits in re.findall(r"\d+", version))


def stamps(program: Program) -> Mapping[str, str]:
    """Variables for the linker to set, as in the project's own release build.

    Without them the version of kube-apiserver is v0.0.0-master, and helm renders for Kubernetes 1.20.
    """
    if program.directory == "kubernetes":
        return _kubernetes_stamps(version(program))
    if program is HELM:
        return _helm_stamps(version(program), module_version(program, "k8s.io/client-go"))
    return {}


def _kubernetes_stamps(release: str) -> dict[str, str]:
    major, minor = numbers(release)[:2]
    values = {
        "gitVersion": release,
        "gitMajor": major,
        "gitMinor": minor,
        "gitCommit": "",
        "gitTreeState": "archive",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return {f"{package}.{name}": str(value) for package in packages for name, value in values.items()}


def _helm_stamps(release: str, client_go: str) -> dict[str, str]:
    minor = numbers(client_go)[1]  # client-go v0.37 is for Kubernetes 1.37
    packages = ("helm.sh/helm/v3/pkg/chartutil", "helm.sh/helm/v3/pkg/lint/rules")
    served = {
        f"{package}.k8sVersion{part}": str(value)
        for package in packages
        for part, value in (("Major", 1), ("Minor", minor))
    }
    return {"helm.sh/helm/v3/internal/version.version": release, **served}


def _go_mod(program: Program) -> str:
    return (HERE / program.directory / "go.mod").read_text()
