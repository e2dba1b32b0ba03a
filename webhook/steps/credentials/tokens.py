"""Access tokens of model hubs."""

from __future__ import annotations

from webhook.cluster.facts import Secret
from webhook.pod.pod import secret_variable
from webhook.settings.kserve_keys import Credentials
from webhook.steps.credentials.credential import Credential

HUGGING_FACE = "HF_TOKEN"
MODELSCOPE = "MODELSCOPE_API_TOKEN"


def hugging_face(name: str, secret: Secret, settings: Credentials) -> Credential:
    """The token of the Hugging Face Hub."""
    return Credential((secret_variable(HUGGING_FACE, name, HUGGING_FACE),))


def modelscope(name: str, secret: Secret, settings: Credentials) -> Credential:
    """The token of ModelScope."""
    return Credential((secret_variable(MODELSCOPE, name, MODELSCOPE),))
