"""What the operations of the OpenAPI description are put together from."""

from collections.abc import Iterable
from typing import Any

from imagebatch_api.schema_parts import reference

Json = dict[str, Any]

REQUEST_ID: Json = {
    "name": "request_id",
    "in": "path",
    "required": True,
    "description": "The id that POST /upload answered with.",
    "schema": {"type": "string"},
}


def operation(name: str, summary: str, success: Json, problems: Iterable[int] = ()) -> Json:
    return {"operationId": name, "summary": summary, "responses": {**success, **problem_answers(problems)}}


def problem_answers(statuses: Iterable[int]) -> Json:
    return {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in statuses}


def json_answer(status: int, schema: str, description: str = "Done.") -> Json:
    content = {"application/json": {"schema": reference(schema)}}
    return {str(status): {"description": description, "content": content}}


def content_answer(status: int, media_type: str) -> Json:
    return {str(status): {"description": "Done.", "content": {media_type: {"schema": {"type": "string"}}}}}


def nothing_answer(description: str) -> Json:
    """204: there is nothing to say."""
    return {"204": {"description": description}}


def query(name: str, schema: Json, *, required: bool = False) -> Json:
    return {"name": name, "in": "query", "required": required, "schema": schema}
