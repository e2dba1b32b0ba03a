"""The endpoint of AWS STS, for service accounts with an AWS role whose models are behind an S3 endpoint."""

from __future__ import annotations

import re

from webhook.annotations import ROLE_ARN
from webhook.pod.pod import PodDraft, find
from webhook.steps.ca_bundle import env_value
from webhook.steps.credentials import s3
from webhook.steps.inputs import Inputs

STS_ENDPOINT_URL = "AWS_ENDPOINT_URL_STS"

_REGION = re.compile(r"[a-z]+(-[a-z]+)+-\d+")
_DOMAIN = "amazonaws.com"
# The domains of AWS partitions by the beginning of their regions' names (AWS SDKs: partitions.json).
_DOMAINS = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "eu-isoe-": "cloud.adc-e.uk",
    "us-isof-": "csp.hci.ic.gov",
}


# Partitions without a global endpoint of STS.
_DEFAULT_REGIONS = {"aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}


def set_sts_endpoint(pod: PodDraft, inputs: Inputs) -> None:
    """Set the endpoint of STS in the init container, if an AWS role is used with an S3 endpoint.

    AWS SDKs take AWS_ENDPOINT_URL for every service: the request for the role's credentials would go to the S3
    endpoint. Runs after the ClusterStorageContainer is applied: its own endpoint of STS takes precedence.
    """
    account = inputs.facts.service_account
    if account is None or not account.annotations.get(ROLE_ARN):
        return
    container = pod.edit_init_container()
    if container is None or not env_value(container, s3.ENDPOINT_URL) or find(container["env"], s3.ACCESS_KEY_ID):
        return
    region = env_value(container, s3.REGION).strip() or env_value(container, "AWS_REGION").strip()
    role = account.annotations[ROLE_ARN]
    pod.add_env(container, [{"name": STS_ENDPOINT_URL, "value": _endpoint(region, role)}])


def _endpoint(region: str, role: str) -> str:
    """The regional endpoint of STS. Without a region of AWS: the global one, or one of the role's partition."""
    if not _REGION.fullmatch(region):
        region = _DEFAULT_REGIONS.get(role.partition("arn:")[2].partition(":")[0], "")
    if not region:
        return f"https://sts.{_DOMAIN}"
    domain = next((domain for prefix, domain in _DOMAINS.items() if region.startswith(prefix)), _DOMAIN)
    return f"https://sts.{region}.{domain}"
