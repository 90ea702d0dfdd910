"""The check of a transform: its plugin, and the datasets that it is given."""

from medray.steps.base.facts import Data
from medray.steps.base.view import View
from medray.steps.transform.spec import TransformSpec
from medray.steps.transform.transforms import TRANSFORMS
from medray.storage.shards.holds import Holds


def check(view: View, spec: TransformSpec) -> None:
    """The datasets are what the plugin needs."""
    data = view.data("data", spec.data)
    using = {role: view.data(f"using.{role}", name) for role, name in spec.using.items()}
    found = view.plugin(TRANSFORMS, spec.operation, "operation")
    selected, holds = data.holds, Holds()
    if found is not None:
        kind, options = found
        if not kind.required <= set(using) <= set(kind.roles):
            roles = ", ".join(kind.roles) or "no further dataset"
            hint = f"it needs {', '.join(sorted(kind.required)) or 'none of them'}"
            view.add("using", "bad-roles", f"{spec.operation.name} uses {roles}", hint)
        with view.at("data"):
            kind.needs(options).check(data.holds)
        for role in set(using) & set(kind.roles):
            with view.at(f"using.{role}"):
                kind.needs(options, role).check(using[role].holds)
        for role in set(using) & set(kind.adds):
            selected = selected.beside(using[role].holds)
        holds = kind.holds(options, frozenset(using))
    with view.at("select"):
        selected.check_where(spec.select)
    view.makes("output", spec.output, Data(spec.kind, holds))
