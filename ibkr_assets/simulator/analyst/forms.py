"""An answer in the form that a request asks for: a value for any JSON schema.

What goes here: schema in, value out, from what is known by a property's name and otherwise the least that is valid.
What does not: what is known (`rule`). Schemas are those that clients send: types, enums, bounds, references into the
schema itself; patterns and formats are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DEEPEST = 20


def fill(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    """A value of this schema. `known` are values by the names of properties, bent to the bounds where they must be."""
    return _fill(schema, schema, known, None, 0)


def _fill(schema: Mapping[str, Any], root: Mapping[str, Any], known: Mapping[str, Any], hint: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        return None
    schema = _resolve(schema, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return hint if hint in schema["enum"] else schema["enum"][0]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind == "object" or "properties" in schema:
        names = schema.get("properties", {})
        inner = {**known, **hint} if isinstance(hint, Mapping) else known
        return {name: _fill(sub, root, inner, inner.get(name), depth + 1) for name, sub in names.items()}
    if kind == "array":
        return _fill_array(schema, root, known, hint, depth)
    if kind == "string":
        text = hint if isinstance(hint, str) else "" if hint is None else str(hint)
        return text[: schema.get("maxLength", len(text))].ljust(schema.get("minLength", 0), ".")
    if kind in ("number", "integer"):
        return _bend(schema, hint if isinstance(hint, int | float) else 0, is_whole=kind == "integer")
    return bool(hint) if kind == "boolean" else hint if kind is None else None


def _resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in range(_DEEPEST):
        if "$ref" in schema:
            target: Any = root
            for part in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
                target = target.get(part, {}) if part else target
            schema = target
        elif choices := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
            schema = next((one for one in choices if one.get("type") != "null"), choices[0])
        else:
            break
    return schema


def _fill_array(
    schema: Mapping[str, Any], root: Mapping[str, Any], known: Mapping[str, Any], hint: Any, depth: int
) -> list[Any]:
    items = schema.get("items", {})
    hints = list(hint) if isinstance(hint, list | tuple) else []
    hints = hints[: schema.get("maxItems", len(hints))]
    hints += [None] * (schema.get("minItems", 0) - len(hints))
    return [_fill(items, root, known, one, depth + 1) for one in hints]


def _bend(schema: Mapping[str, Any], number: float, *, is_whole: bool) -> float | int:
    step = 1 if is_whole else 0.001
    if "minimum" in schema or "exclusiveMinimum" in schema:
        number = max(number, schema.get("minimum", schema.get("exclusiveMinimum", number - step) + step))
    if "maximum" in schema or "exclusiveMaximum" in schema:
        number = min(number, schema.get("maximum", schema.get("exclusiveMaximum", number + step) - step))
    return round(number) if is_whole else number
