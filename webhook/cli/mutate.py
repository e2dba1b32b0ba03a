"""`storage-webhook mutate`: show what the webhook would do to the pods in manifests."""

from __future__ import annotations

from typing import Any

import typer

from webhook.cli import options as opt
from webhook.cli.console import display_name, print_lines
from webhook.cli.inputs import load_facts, load_manifests, load_settings

DENIED = 1


def mutate(
    file: opt.ManifestFile = "-",
    settings: opt.OfflineSettings = "embedded",
    facts: opt.FactsFile = None,
    namespace: opt.Namespace = "default",
    deployments: opt.Deployments = False,
    output: opt.OutputOption = opt.Output.yaml,
) -> None:
    """Show what the webhook would do to the pods in manifests. No cluster is needed.

    Reads Pods, workloads with a pod template, Lists and AdmissionReviews, and prints the same objects, mutated.
    Exit code 1: a pod would be denied, for the reason on standard error; 2: the input cannot be read.
    """
    from webhook.offline.mutator import Mutator

    mutator = Mutator(load_settings(settings), namespace, load_facts(facts))
    documents = load_manifests(file)
    change = mutator.mutate_deployments if deployments else mutator.mutate_pods
    mutated = [change(document) for document in documents]
    print_lines("warning: ", mutator.warnings, "yellow")
    if mutator.denials:
        print_lines("denied: ", mutator.denials, "red")
        raise typer.Exit(DENIED)
    print_lines("note: ", mutator.notes)
    if all(new is old for new, old in zip(mutated, documents, strict=True)):
        missing = "no Deployment" if deployments else "no pod and no pod template"
        print_lines("unchanged: ", mutator.skips or [f"{display_name(file)} contains {missing}."])
    _print_documents(output, documents, mutated)


def _print_documents(output: opt.Output, documents: list[Any], mutated: list[Any]) -> None:
    from webhook.offline import manifests, mutator

    if output is opt.Output.yaml:
        typer.echo(manifests.dump(mutated), nl=False)
    elif output is opt.Output.json:
        typer.echo(mutator.as_json(mutated))
    elif output is opt.Output.patch:
        for patch in mutator.as_patches(documents, mutated):
            typer.echo(patch)
    else:
        for line, colour in mutator.as_diff(documents, mutated):
            typer.secho(line, fg=colour)
