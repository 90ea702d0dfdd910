"""A page of models and endpoints for people: no script, and nothing fetched from elsewhere."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medray.modalities.media import JSON


def page_of(schema: dict[str, Any], models: Sequence[dict[str, Any]], address: str) -> str:
    """HTML of what there is to ask.

    Args:
        schema: OpenAPI; /openapi.json has all of it.
        models: as `/v1/models` shows them.
        address: scheme, host and port that the page was asked for at.
    """
    import jinja2

    template = Path(__file__).with_name("page.html.j2").read_text()
    media, body = example_of(models[0]["takes"])
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
        media=media,
        body=body,
        address=address,
    )


def example_of(takes: dict[str, Any]) -> tuple[str, str]:
    """A media type that a model takes, and a body of it as curl is given one."""
    media, schema = next(iter(takes.items()))
    if media != JSON:
        return media, "--data-binary @file"
    one = schema.get("oneOf", [schema])[0]
    if "example" not in one:
        return media, "-d @file"
    return media, f"-d '{json.dumps(one['example'])}'"


def _kinds(entry: dict[str, Any]) -> list[str]:
    return list(entry.get("requestBody", {}).get("content", {}))
