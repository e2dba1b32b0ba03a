"""`storage-webhook cache warm`: fill a shared cache before the pods start that need it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from webhook.cli.console import UNUSABLE, display_name, exit_with, print_lines
from webhook.cli.options import env

if TYPE_CHECKING:
    from webhook.kubernetes_api.jobs import JobsApi

FAILED = 1
_PAUSE = 2.0
"""Seconds between two looks at a Job."""

Uris = Annotated[
    list[str] | None, typer.Argument(metavar="URI...", envvar=env("CACHE_URIS"), help="The models to download.")
]
Claim = Annotated[
    str | None,
    typer.Option(
        envvar=env("CACHE_CLAIM"),
        metavar="pvc://CLAIM[/DIR]",
        help="The shared cache. Default: that of the manifest, or of the settings.",
    ),
]
File = Annotated[
    str | None,
    typer.Option(
        "-f",
        "--file",
        envvar=env("CACHE_FILE"),
        metavar="FILE",
        help="Manifest of the workloads whose models are downloaded. -: standard input.",
    ),
]
Namespace = Annotated[
    str | None, typer.Option("-n", "--namespace", envvar=env("CACHE_NAMESPACE"), help="Namespace of the Jobs.")
]
ServiceAccount = Annotated[
    str | None,
    typer.Option(envvar=env("CACHE_SERVICE_ACCOUNT"), help="Service account with the credentials for the URIs."),
]
FsGroup = Annotated[
    int | None,
    typer.Option(min=0, envvar=env("CACHE_FS_GROUP"), help="fsGroup of the pods for the URIs, as your pods have."),
]
Image = Annotated[
    str | None,
    typer.Option(
        envvar=env("CACHE_IMAGE"),
        help="Image with `python3` for the containers, which do nothing. Default: KServe's storage initializer.",
    ),
]
Apply = Annotated[bool, typer.Option("--apply", envvar=env("CACHE_APPLY"), help="Create the Jobs.")]
Wait = Annotated[
    bool, typer.Option("--wait", envvar=env("CACHE_WAIT"), help="With --apply: wait until all Jobs have ended.")
]


class _Template(NamedTuple):
    name: str
    """For messages."""
    template: dict[str, Any]
    namespace: str | None


def warm(
    uris: Uris = None,
    claim: Claim = None,
    file: File = None,
    namespace: Namespace = None,
    service_account: ServiceAccount = None,
    fs_group: FsGroup = None,
    image: Image = None,
    apply: Apply = False,
    wait: Wait = False,
) -> None:
    """Print a Job for each model that downloads it into a shared cache, as the pods would; --apply creates them.

    A Job that exists already is left as it is, so the command can be repeated.
    Exit code 1: a Job failed; 2: the input, or the cluster, cannot be used.
    """
    if wait and not apply:
        exit_with("--wait needs --apply", UNUSABLE)
    templates = [*_templates_of_uris(uris or (), service_account, fs_group), *_templates(file)]
    jobs = list(_jobs(templates, claim, namespace, image))
    if not jobs:
        exit_with("no model: name URIs, or a manifest with -f", UNUSABLE)
    if not apply:
        from webhook import yaml_loader

        typer.echo(yaml_loader.dump(jobs), nl=False)
        return
    _create(jobs, wait=wait)


def _jobs(
    templates: Iterable[_Template], claim: str | None, namespace: str | None, image: str | None
) -> Iterator[dict[str, Any]]:
    from webhook.download import warming
    from webhook.errors import redacted
    from webhook.settings.kserve_keys import StorageInitializer

    if claim is not None:
        _check_claim(claim)
    used = image or StorageInitializer.model_construct().image
    for name, template, own in templates:
        try:
            yield warming.job(template, namespace or own, used, claim)
        except ValueError as error:
            exit_with(f"{redacted(name)}: {error}", UNUSABLE)


def _check_claim(claim: str) -> None:
    from webhook import uri
    from webhook.errors import Denied

    if not uri.is_claim(claim):
        exit_with(f"--claim {claim!r} must be the URI of a claim, such as pvc://cache/models", UNUSABLE)
    try:
        uri.parse_claim(claim, "--claim")
    except Denied as error:
        exit_with(error.message, UNUSABLE)


def _templates_of_uris(uris: Iterable[str], service_account: str | None, fs_group: int | None) -> Iterator[_Template]:
    from webhook.download import warming

    for uri in uris:
        yield _Template(uri, warming.template_of(uri, service_account, fs_group), None)


def _templates(file: str | None) -> Iterator[_Template]:
    """The pods and pod templates in a file."""
    if file is None:
        return
    from webhook.cli.inputs import load_manifests
    from webhook.offline import manifests

    found = False
    for document in load_manifests(file):
        for each in manifests.objects(document):
            for path in manifests.find_pods(each):
                found = True
                template: Any = each
                for key in path:
                    template = template[key]
                yield _Template(manifests.name_of(each), template, (each.get("metadata") or {}).get("namespace"))
    if not found:
        exit_with(f"{display_name(file)}: it contains no pod and no pod template", UNUSABLE)


def _create(jobs: list[dict[str, Any]], *, wait: bool) -> None:
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    from webhook.errors import ClusterConfigError
    from webhook.kubernetes_api.client import api_client
    from webhook.kubernetes_api.jobs import JobsApi

    without = [job["metadata"]["name"] for job in jobs if "namespace" not in job["metadata"]]
    if without:
        exit_with(f"Job {without[0]} has no namespace: set it with -n", UNUSABLE)
    try:
        api = JobsApi(api_client())
        for job in jobs:
            name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
            created = api.create(namespace, job)
            typer.echo(f"job {namespace}/{name} {'created' if created else 'exists already'}")
        failed = [job for job in jobs if wait and not _is_successful(api, job)]
    except (ClusterConfigError, HTTPError) as error:
        exit_with(f"the cluster cannot be reached: {error}", UNUSABLE)
    except ApiException as error:
        exit_with(f"the API server rejected a request: {error.status} {error.reason}", UNUSABLE)
    if failed:
        raise typer.Exit(FAILED)


def _is_successful(api: JobsApi, job: dict[str, Any]) -> bool:
    """Wait until the Job has ended, and print what the download logs. Returns whether it succeeded."""
    namespace, name, shown = job["metadata"]["namespace"], job["metadata"]["name"], ""
    while True:
        conditions = api.job(namespace, name).get("status", {}).get("conditions") or ()
        ended = {each["type"] for each in conditions if each["status"] == "True"}
        line = _progress(api, namespace, name)
        if line and line != shown:
            print_lines(f"{name}: ", [shown := line])
        if ended & {"Complete", "SuccessCriteriaMet"}:
            print_lines("", [f"{name}: complete"], "green")
            return True
        if ended & {"Failed", "FailureTarget"}:
            print_lines("", [f"{name}: failed: {line or 'see kubectl describe job'}"], "red")
            return False
        time.sleep(_PAUSE)


def _progress(api: JobsApi, namespace: str, name: str) -> str:
    """What is known of the newest pod: why its init container ended, else the last line of its log."""
    from webhook.pod.pod import INIT_CONTAINER_NAME

    pods = api.pods(namespace, name)
    if not pods:
        return ""
    pod = pods[-1]
    for status in pod.get("status", {}).get("initContainerStatuses") or ():
        ended = (status.get("state") or {}).get("terminated")
        if status["name"] == INIT_CONTAINER_NAME and ended and ended.get("exitCode"):
            return str(ended.get("message") or ended.get("reason") or "").strip().splitlines()[-1]
    return api.last_line(namespace, pod["metadata"]["name"], INIT_CONTAINER_NAME)
