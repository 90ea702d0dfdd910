"""The check of a scoring of variants: a model of sequences, a genome, and a table of sites."""

from medray.errors import SpecError
from medray.modalities import MODALITIES
from medray.steps.base.facts import Data
from medray.steps.base.fits import network_of, task_of
from medray.steps.base.view import View
from medray.steps.variants.spec import VariantsSpec
from medray.storage.shards.holds import Needs, names

SITE = ("contig", "pos", "ref", "alt")


def check(view: View, spec: VariantsSpec) -> None:
    """The model takes bases and has the tracks, and genome and sites are what they are to be."""
    model, data = view.model("model", spec.model), view.data("data", spec.data)
    genome = view.data("genome", spec.genome)
    with view.at("select"):
        data.holds.check_where(spec.select)
    with view.at("genome"):
        hint = "ingest a FASTA file by the format `fasta`"
        contigs = names("contig", "length", "sha256")
        Needs((names("sequence"),), contigs, hint=hint, code="no-genome").check(genome.holds)
    with view.at("data"):
        hint = "ingest a VCF by the format `vcf` with `table: sites`"
        Needs(columns=names(SITE), hint=hint, code="no-sites").check(data.holds)
        if data.holds.arrays:
            raise SpecError("the data are no table of sites", code="no-sites", hint=hint)
    kind = network_of(view, model)
    task = None if model.task is None else task_of(view, model.task)
    if kind is not None and "base" not in MODALITIES.get(kind.takes).extends:
        message = "variants are scored by a model of sequences"
        view.add("model", "model-mismatch", message, f"this one takes {kind.takes}s")
    elif model.folds:
        hint = "train one on all samples, without `folds`"
        message = "variants are scored by one network, not by one for each fold"
        view.add("model", "folded-model", message, hint)
    elif task is not None:
        for track in sorted(set(spec.tracks or ()) - set(task.classes)):
            hint = f"it has {', '.join(task.classes)}"
            view.add("tracks", "no-such-track", f"the model has no output {track!r}", hint)
    view.makes("output", spec.output, Data(spec.kind))
