"""What the JSON schemas are put together from."""

from typing import Any

Json = dict[str, Any]


def reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def object_of(properties: Json) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def with_optional(name: str, schema: Json, properties: Json) -> Json:
    """An object that may have one property more."""
    made = object_of(properties)
    return {**made, "properties": {**properties, name: schema}}


def text(description: str, **more: object) -> Json:
    return {"type": "string", "description": description, **more}


def count(description: str) -> Json:
    return {"type": "integer", "minimum": 0, "description": description}


def nullable(schema: Json) -> Json:
    return {**schema, "type": [schema["type"], "null"]}
