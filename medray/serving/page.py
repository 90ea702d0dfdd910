"""A page of models and endpoints for people: no script, and nothing fetched from elsewhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medray.serving.decode import NIFTI, PNG


def page_of(schema: dict[str, Any], models: Sequence[dict[str, Any]], address: str) -> str:
    """HTML of what there is to ask.

    Args:
        schema: OpenAPI; /openapi.json has all of it.
        models: as `/v1/models` shows them.
        address: scheme, host and port that the page was asked for at.
    """
    import jinja2

    template = Path(__file__).with_name("page.html.j2").read_text()
    endpoints = [
        (method.upper(), path, entry.get("summary", ""), _kinds(entry))
        for path, methods in schema["paths"].items()
        for method, entry in methods.items()
    ]
    page = jinja2.Environment(autoescape=True).from_string(template)
    return page.render(
        title=f"{schema['info']['title']} {schema['info']['version']}",
        models=models,
        endpoints=endpoints,
        example=NIFTI if models[0]["dims"] == 3 else PNG,
        address=address,
    )


def _kinds(entry: dict[str, Any]) -> list[str]:
    return list(entry.get("requestBody", {}).get("content", {}))
