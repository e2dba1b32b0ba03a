"""Stand-ins for the controllers of Kubernetes, which do not run in the control plane for tests."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.e2e.api import Api, Object

SYSTEM = "kube-system"


@contextmanager
def controller(api: Api, name: str) -> Iterator[httpx.Client]:
    """A client with the account, the permissions and the User-Agent of a controller such as `replicaset-controller`.

    The API server creates the roles for kube-controller-manager with --use-service-account-credentials.
    """
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": SYSTEM}}
    api.apply(account).raise_for_status()
    kubeconfig = api.plane.service_account(SYSTEM, name)
    agent = f"kube-controller-manager/{api.plane.version()} (linux/amd64)"
    with api.plane.http_as(kubeconfig, agent) as http:
        yield http


def pod_of(replica_set: Object) -> Object:
    """The pod that the ReplicaSet controller creates for a stored ReplicaSet."""
    owner, template = replica_set["metadata"], copy.deepcopy(replica_set["spec"]["template"])
    template["metadata"]["generateName"] = f"{owner['name']}-"
    template["metadata"]["ownerReferences"] = [
        {
            "apiVersion": replica_set["apiVersion"],
            "kind": replica_set["kind"],
            "name": owner["name"],
            "uid": owner["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    return {"apiVersion": "v1", "kind": "Pod", **template}
