"""A page of the endpoints for people: no script, and nothing fetched from elsewhere."""

from html import escape
from typing import Any


def page_of(schema: dict[str, Any]) -> str:
    """HTML of an OpenAPI schema; /openapi.json has all of it."""
    rows = []
    for path, methods in schema["paths"].items():
        for method, entry in methods.items():
            kinds = entry.get("requestBody", {}).get("content", {})
            rows.append(
                f"<tr><td><code>{method.upper()} {escape(path)}</code></td>"
                f"<td>{escape(entry.get('summary', ''))}</td>"
                f"<td>{escape(', '.join(kinds))}</td></tr>"
            )
    title = escape(f"{schema['info']['title']} {schema['info']['version']}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<h1>{title}</h1><p>Send <code>Authorization: Bearer &lt;token&gt;</code>. "
        '<a href="/openapi.json">OpenAPI</a></p><table><tr><th>endpoint</th><th>what</th>'
        f"<th>bodies</th></tr>{''.join(rows)}</table></html>"
    )
