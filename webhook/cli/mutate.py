"""`storage-webhook mutate`: show what the webhook would do to the pods in manifests."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from webhook.cli import options as opt
from webhook.cli.choices import Output
from webhook.cli.console import display_name, print_lines
from webhook.cli.inputs import load_facts, load_manifests, load_settings, manifest_files

if TYPE_CHECKING:
    from webhook.offline.mutator import Mutator

DENIED = 1


def mutate(
    file: opt.ManifestFiles = None,
    recursive: opt.Recursive = False,
    settings: opt.OfflineSettings = "embedded",
    facts: opt.FactsFile = None,
    namespace: opt.Namespace = "default",
    deployments: opt.Deployments = False,
    explain: opt.Explain = False,
    output: opt.OutputOption = Output.yaml,
) -> None:
    """Show what the webhook would do to the pods in manifests. No cluster is needed.

    Reads Pods, objects with pod templates, Lists and AdmissionReviews, and prints the same objects, mutated.
    Exit code 1: a pod would be denied, for the reason on standard error; 2: the input cannot be read.
    """
    from webhook.offline.mutator import Mutator

    if explain and deployments:
        raise typer.BadParameter("use either --explain or --deployments")
    mutator = Mutator(load_settings(settings), namespace, load_facts(facts))
    files = manifest_files(file or [Path("-")], recursive)
    found = [(each, document) for each in files for document in load_manifests(each)]
    documents = [document for _, document in found]
    change = mutator.mutate_deployments if deployments else mutator.mutate_pods
    # With several files, messages say in which one an object is.
    mutated = [change(document, display_name(each) if len(files) > 1 else "") for each, document in found]
    print_lines("warning: ", mutator.misplaced, "yellow")
    if not mutator.decisions:
        missing = "no Deployment" if deployments else "no pod and no pod template"
        print_lines("unchanged: ", [f"{missing} in {', '.join(map(display_name, files))}."])
    if explain:
        typer.echo("".join(f"{line}\n" for line in mutator.explanations), nl=False)
    else:
        _print_messages(mutator, changed=any(map(operator.is_not, mutated, documents)))
    print_lines("next: ", mutator.commands)
    if mutator.denials:
        raise typer.Exit(DENIED)
    if not explain:
        _print_documents(output, documents, mutated)


def _print_messages(mutator: Mutator, *, changed: bool) -> None:
    print_lines("warning: ", mutator.warnings, "yellow")
    print_lines("denied: ", mutator.denials, "red")
    if not mutator.denials:
        print_lines("note: ", mutator.notes)
    if not (mutator.denials or changed):
        print_lines("unchanged: ", mutator.skips)


def _print_documents(output: Output, documents: list[Any], mutated: list[Any]) -> None:
    from webhook.offline import manifests, mutator

    if output is Output.yaml:
        typer.echo(manifests.dump(mutated), nl=False)
    elif output is Output.json:
        typer.echo(mutator.as_json(mutated))
    elif output is Output.patch:
        for patch in mutator.as_patches(documents, mutated):
            typer.echo(patch)
    else:
        for line, colour in mutator.as_diff(documents, mutated):
            typer.secho(line, fg=colour)
