"""What OpenAPI says of a path beside what FastAPI finds out itself."""

from typing import Any

BULK: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["model", "data", "output"],
                    "properties": {
                        name: {"type": "string"} for name in ("kind", "model", "data", "output")
                    },
                }
            }
        },
    }
}


def operation_of(model: dict[str, Any]) -> dict[str, Any]:
    """Bodies, parameters and answers of a model's path.

    Args:
        model: as `medray.jobs.serve.described` describes it.
    """
    made: dict[str, Any] = {
        "requestBody": {"required": True, "content": _content(model["takes"])},
        "responses": {
            "200": {
                "description": f"what {model['reference']} says",
                "content": _content(model["gives"]),
            }
        },
    }
    if model["outputs"]:
        made["parameters"] = [
            {
                "name": "outputs",
                "in": "query",
                "required": False,
                "schema": {"type": "string", "enum": model["outputs"]},
            }
        ]
    return made


def _content(schemas: dict[str, Any]) -> dict[str, Any]:
    return {media: {"schema": schema} for media, schema in schemas.items()}
