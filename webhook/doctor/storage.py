"""The storage classes: which claims can hold models, and which a shared cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from webhook.doctor.report import Check, Result

AREA = "Storage"

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_OBJECT_STORES = frozenset(
    {"s3.csi.aws.com", "gcsfuse.csi.storage.gke.io", "ru.yandex.s3.csi", "ch.ctrox.csi.s3-driver"}
)
_DISKS = frozenset(
    {
        *("ebs.csi.aws.com", "pd.csi.storage.gke.io", "disk.csi.azure.com", "cinder.csi.openstack.org"),
        *("csi.vsphere.vmware.com", "kubernetes.io/aws-ebs", "kubernetes.io/gce-pd", "kubernetes.io/azure-disk"),
        *("rancher.io/local-path", "topolvm.io", "local.csi.openebs.io"),
    }
)


def check_storage(classes: Iterable[Mapping[str, Any]], drivers: Iterable[Mapping[str, Any]]) -> Iterator[Check]:
    """What claims of each StorageClass can be used for, from StorageClass and CSIDriver objects."""
    policies = {driver["metadata"]["name"]: (driver.get("spec") or {}).get("fsGroupPolicy") for driver in drivers}
    found = False
    for each in classes:
        found = True
        metadata, provisioner = each["metadata"], str(each.get("provisioner"))
        is_default = (metadata.get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
        subject = f"class {metadata['name']}{' (default)' if is_default else ''}, {provisioner}"
        yield Check(AREA, subject, *_suitability(provisioner, policies))
    if not found:
        detail = "no StorageClass: a claim needs a PersistentVolume that an administrator creates"
        yield Check(AREA, "classes", Result.WARNING, detail)


def _suitability(provisioner: str, policies: Mapping[str, Any]) -> tuple[Result, str]:
    if provisioner in _OBJECT_STORES:
        return Result.WARNING, "an object store: its claims can hold models, but no shared cache"
    if policies.get(provisioner) == "None":
        return Result.WARNING, (
            "the driver does not apply fsGroup: for a shared cache, give the directory to the pods' group, mode 2775"
        )
    if provisioner in _DISKS:
        return Result.WORKS, "a disk of one node: a shared cache serves the pods of one node only"
    return Result.WORKS, "for models; a shared cache on several nodes needs ReadWriteMany"
