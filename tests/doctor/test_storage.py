"""What claims of the storage classes can be used for."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.doctor.report import Check, Result
from webhook.doctor.storage import check_storage


def check(provisioner: str, *drivers: tuple[str, str], annotations: Any = None) -> Check:
    storage_class = {"metadata": {"name": "models", "annotations": annotations}, "provisioner": provisioner}
    objects = [{"metadata": {"name": name}, "spec": {"fsGroupPolicy": policy}} for name, policy in drivers]
    (found,) = check_storage([storage_class], objects)
    return found


@pytest.mark.parametrize(
    ("provisioner", "drivers", "result", "words"),
    [
        ("efs.csi.aws.com", [("efs.csi.aws.com", "None")], Result.WARNING, "does not apply fsGroup"),
        ("efs.csi.aws.com", [("efs.csi.aws.com", "File")], Result.WORKS, "ReadWriteMany"),
        ("nfs.example.com", [("other", "None")], Result.WORKS, "ReadWriteMany"),
        ("ebs.csi.aws.com", [("ebs.csi.aws.com", "File")], Result.WORKS, "a disk of one node"),
        ("s3.csi.aws.com", [("s3.csi.aws.com", "None")], Result.WARNING, "no shared cache"),
    ],
)
def test_each_class_has_a_row(provisioner: str, drivers: Any, result: Result, words: str) -> None:
    found = check(provisioner, *drivers)
    assert (found.result, found.subject) == (result, f"class models, {provisioner}")
    assert words in found.detail


def test_the_default_class_is_marked() -> None:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    assert "class models (default)" in check("a", annotations=annotations).subject


def test_a_cluster_without_classes_is_a_warning() -> None:
    (found,) = check_storage([], [])
    assert found.result == Result.WARNING
