"""Mutation steps, in the order they run. A step is a function `(pod, inputs) -> None` that edits the draft.

To add a step, add a file here and a line to STEPS. The order matters: each step sees the edits of the steps before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from webhook.pod.pod import PodDraft
from webhook.request.model_request import Delivery, ModelRequest
from webhook.steps.archives import warn_about_archives
from webhook.steps.ca_bundle import mount_ca_bundle
from webhook.steps.cache import download_into_cache, share_download
from webhook.steps.claim_facts import check_claims
from webhook.steps.claims import mount_claims
from webhook.steps.confidential import enable_confidential
from webhook.steps.credential_warnings import warn_about_credentials
from webhook.steps.credentials import add_credentials
from webhook.steps.digest import check_mounted_digests
from webhook.steps.download import add_storage_initializer
from webhook.steps.environment import add_environment
from webhook.steps.file_owner import warn_about_file_owner
from webhook.steps.fresh_volume import warn_about_fresh_volume
from webhook.steps.hugging_face import tune_hugging_face
from webhook.steps.hugging_face_cache import warn_about_snapshots
from webhook.steps.inputs import Inputs
from webhook.steps.istio import run_as_istio_proxy
from webhook.steps.kserve_injection import adopt_kserve_injection
from webhook.steps.nested_mounts import warn_about_nested_mounts
from webhook.steps.oci_fetch import correct_kserve_oci_fetch, mount_pull_secret
from webhook.steps.oci_modelcar import add_modelcars
from webhook.steps.oci_native import mount_images
from webhook.steps.overrides import apply_overrides
from webhook.steps.path_check import check_paths
from webhook.steps.patterns import set_patterns
from webhook.steps.placement import place_init_containers
from webhook.steps.pod_resources import fit_pod_resources
from webhook.steps.pull_secrets import add_pull_secrets
from webhook.steps.quality_of_service import keep_guaranteed
from webhook.steps.security_context import secure_injected_containers
from webhook.steps.storage_container import apply_storage_container
from webhook.steps.storage_limits import warn_about_storage_limits
from webhook.steps.storage_spec import add_storage_config
from webhook.steps.storage_uri import set_storage_uri
from webhook.steps.sts_endpoint import set_sts_endpoint
from webhook.steps.supervision import supervise_download, supervise_injected_download
from webhook.steps.uri_scheme import warn_about_unknown_schemes

Step = Callable[[PodDraft, Inputs], None]

STEPS: tuple[Step, ...] = (
    check_claims,
    mount_claims,
    check_paths,
    check_mounted_digests,
    mount_images,
    add_modelcars,
    download_into_cache,
    add_storage_initializer,
    mount_pull_secret,
    add_pull_secrets,
    add_credentials,
    add_storage_config,
    add_environment,
    set_patterns,
    apply_storage_container,
    set_sts_endpoint,
    mount_ca_bundle,
    apply_overrides,
    fit_pod_resources,
    keep_guaranteed,
    tune_hugging_face,
    enable_confidential,
    share_download,
    supervise_download,
    run_as_istio_proxy,
    secure_injected_containers,
    set_storage_uri,
    place_init_containers,
    warn_about_nested_mounts,
    warn_about_archives,
    warn_about_snapshots,
    warn_about_storage_limits,
    warn_about_file_owner,
    warn_about_fresh_volume,
    warn_about_unknown_schemes,
    warn_about_credentials,
)

# For a pod that already has a storage initializer: KServe may have injected it, and other webhooks may have changed it.
REINVOCATION_STEPS: tuple[Step, ...] = (
    correct_kserve_oci_fetch,
    adopt_kserve_injection,
    supervise_injected_download,
    secure_injected_containers,
    run_as_istio_proxy,
    place_init_containers,
)

# The steps that change nothing unless a model of the pod is delivered in this way.
_ONLY_FOR: Mapping[Delivery, frozenset[Step]] = {
    "mounted": frozenset({mount_claims, check_paths, check_mounted_digests, warn_about_archives, warn_about_snapshots}),
    "modelcars": frozenset({add_modelcars}),
    "images": frozenset({mount_images}),
    "downloaded": frozenset(
        {
            add_storage_initializer,
            mount_pull_secret,
            add_credentials,
            add_storage_config,
            apply_storage_container,
            set_sts_endpoint,
            mount_ca_bundle,
            apply_overrides,
            tune_hugging_face,
            enable_confidential,
            share_download,
            run_as_istio_proxy,
            warn_about_storage_limits,
            warn_about_file_owner,
            warn_about_fresh_volume,
            warn_about_unknown_schemes,
            warn_about_credentials,
        }
    ),
}


def steps_for(request: ModelRequest) -> tuple[Step, ...]:
    """The steps of a request, in order, without those that would change nothing."""
    if request.already_injected:
        return REINVOCATION_STEPS
    return _steps_for(frozenset(how for how in _ONLY_FOR if getattr(request, how)))


@lru_cache(maxsize=2**4)
def _steps_for(used: frozenset[Delivery]) -> tuple[Step, ...]:
    idle = [steps for how, steps in _ONLY_FOR.items() if how not in used]
    return tuple(step for step in STEPS if not any(step in steps for steps in idle))


__all__ = ["REINVOCATION_STEPS", "STEPS", "Inputs", "Step", "steps_for"]
