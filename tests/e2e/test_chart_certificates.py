"""Certificates of the chart across upgrades, against a real API server."""

import base64
import json

from tests import yamls
from tests.chart.rendering import CHART, one, values
from tests.e2e.api import Api
from tests.e2e.release import Release, installed, run_helm

SELF_SIGNED = values(certificates__mode="self-signed")
CA_BUNDLE = "/webhooks/0/clientConfig/caBundle"
PUBLISHED = yamls.document((CHART / "ci" / "existing-certificate-values.yaml").read_text())["certificates"]["existing"][
    "caBundle"
]


def test_upgrade_with_new_settings_restarts_no_pod_and_keeps_the_certificate(control_plane, api):
    with installed(control_plane, "chart-upgrade", *SELF_SIGNED) as release:
        secret, deployment, settings = (one(kind, release.objects) for kind in ("Secret", "Deployment", "ConfigMap"))
        before = [api.get(each) for each in (secret, deployment, release.configuration)]
        image = "registry.example.com/initializer:2"
        changed = values(storageInitializer__image=image)
        run_helm(control_plane, release.namespace, "upgrade", *SELF_SIGNED, *changed)
        after = [api.get(each) for each in (secret, deployment, release.configuration)]
        assert after[0]["data"] == before[0]["data"]
        assert [each["metadata"].get("generation") for each in after] == [
            each["metadata"].get("generation") for each in before
        ]
        assert json.loads(api.get(settings)["data"]["storageInitializer"])["image"] == image


def test_expiring_certificate_is_renewed_and_the_old_ca_stays_trusted_for_one_upgrade(control_plane, api):
    with installed(control_plane, "chart-renewal", *SELF_SIGNED) as release:
        secret = one("Secret", release.objects)
        old = api.get(secret)["data"]
        annotations = {"storage-webhook/expires": "2020-01-01"}
        expiring = {**secret, "metadata": {**secret["metadata"], "annotations": annotations}}
        # As helm: helm 4 does not overwrite what another client has set.
        api.apply(expiring, fieldManager="helm").raise_for_status()
        run_helm(control_plane, release.namespace, "upgrade", *SELF_SIGNED)
        new = api.get(secret)["data"]
        assert new["tls.crt"] != old["tls.crt"]
        assert _bundle(api, release) == base64.b64decode(new["ca.crt"]) + base64.b64decode(old["ca.crt"])
        run_helm(control_plane, release.namespace, "upgrade", *SELF_SIGNED)
        assert _bundle(api, release) == base64.b64decode(new["ca.crt"])


def test_upgrade_keeps_the_ca_that_the_webhook_published(control_plane, api):
    with installed(control_plane, "chart-published") as release:
        published = base64.b64encode(PUBLISHED.encode()).decode()
        api.patch(release.configuration, [{"op": "add", "path": CA_BUNDLE, "value": published}])
        run_helm(control_plane, release.namespace, "upgrade", *values(webhook__timeoutSeconds=7))
        assert api.get(release.configuration)["webhooks"][0]["timeoutSeconds"] == 7
        assert _bundle(api, release).decode() == PUBLISHED


def _bundle(api: Api, release: Release) -> bytes:
    (bundle,) = {webhook["clientConfig"]["caBundle"] for webhook in api.get(release.configuration)["webhooks"]}
    return base64.b64decode(bundle)
