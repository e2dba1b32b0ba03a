"""What is done to a pod, in order. A step is a function `(pod, inputs) -> None` that edits the draft.

To add one: a file here, a line in STEPS. Order is meaning: a step sees what the ones before it made.
"""

from __future__ import annotations

from collections.abc import Callable

from webhook.pod import PodDraft
from webhook.steps.ca_bundle import mount_ca_bundle
from webhook.steps.cache import download_into_cache, wrap_downloader
from webhook.steps.claim_facts import check_claims
from webhook.steps.claims import mount_claims
from webhook.steps.confidential import enable_confidential
from webhook.steps.credentials import add_credentials
from webhook.steps.download import add_storage_initializer
from webhook.steps.hugging_face import speed_up_hugging_face
from webhook.steps.inputs import Inputs
from webhook.steps.istio import run_as_istio_proxy
from webhook.steps.nested_mounts import warn_of_nested_mounts
from webhook.steps.oci_fetch import give_registry_access, mend_fetched
from webhook.steps.oci_modelcar import add_modelcars
from webhook.steps.oci_native import mount_images
from webhook.steps.overrides import apply_overrides
from webhook.steps.placement import place_after_native_sidecars
from webhook.steps.pod_resources import fit_pod_resources
from webhook.steps.security_context import secure_injected_containers
from webhook.steps.storage_container import apply_storage_container
from webhook.steps.storage_spec import add_storage_config
from webhook.steps.storage_uri import point_storage_uri_at_the_model

Step = Callable[[PodDraft, Inputs], None]

STEPS: tuple[Step, ...] = (
    check_claims,
    mount_claims,
    mount_images,
    add_modelcars,
    download_into_cache,
    add_storage_initializer,
    give_registry_access,
    add_credentials,
    add_storage_config,
    apply_storage_container,
    mount_ca_bundle,
    apply_overrides,
    wrap_downloader,
    fit_pod_resources,
    speed_up_hugging_face,
    enable_confidential,
    secure_injected_containers,
    run_as_istio_proxy,
    point_storage_uri_at_the_model,
    place_after_native_sidecars,
    warn_of_nested_mounts,
)

# For a pod whose storage initializer is there already: KServe may have made it, others may have changed the pod since.
REINVOCATION_STEPS: tuple[Step, ...] = (mend_fetched, run_as_istio_proxy, place_after_native_sidecars)

__all__ = ["REINVOCATION_STEPS", "STEPS", "Inputs", "Step"]
