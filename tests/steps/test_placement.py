"""Order of the storage initializer among the init containers."""

from __future__ import annotations

import pytest

from tests.mutation import a_container, answer, mutated, names, plain_pod


def _pod(order: str) -> dict[str, object]:
    """A pod with init containers of these names, such as `a b+ c`. A plus marks a native sidecar."""
    inits = [
        a_container(name.rstrip("+"), **({"restartPolicy": "Always"} if name.endswith("+") else {}))
        for name in order.split()
    ]
    return plain_pod("s3://bucket/model", initContainers=inits)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "storage-initializer"),
        ("a", "a storage-initializer"),
        ("proxy+", "proxy storage-initializer"),
        ("a proxy+ b", "a proxy b storage-initializer"),
        ("storage-initializer", "storage-initializer"),
        ("storage-initializer a", "storage-initializer a"),
        ("storage-initializer proxy+", "proxy storage-initializer"),
        ("storage-initializer a proxy+ b", "a proxy storage-initializer b"),
        ("storage-initializer proxy+ a other+ b", "proxy a other storage-initializer b"),
        ("proxy+ storage-initializer a", "proxy storage-initializer a"),
    ],
)
def test_moved_after_the_last_native_sidecar(before: str, after: str) -> None:
    assert names(mutated(_pod(before))["spec"]["initContainers"]) == after.split()


def test_existing_init_container_in_order_is_not_moved() -> None:
    response = answer(_pod("proxy+ storage-initializer"))
    assert "patch" not in response
    assert response["auditAnnotations"]["reason"] == "already-injected"
