"""`/docs`: the OpenAPI document as a page to read, whole in itself: no script, no other host."""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

_STYLE: Final = """
:root {
  color-scheme: light dark;
  --line: #8884; --soft: #8881; --link: light-dark(#0b57d0, #8ab4f8);
}
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
a { color: var(--link); }
h1 { line-height: 1.2; margin-bottom: 0; }
h2 { border-bottom: 1px solid var(--line); margin-top: 2.5rem; text-transform: capitalize; }
code { font: 0.9em/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
details { border: 1px solid var(--line); border-radius: 0.5rem; margin: 0.5rem 0; }
summary { padding: 0.5rem 0.75rem; cursor: pointer; overflow-wrap: anywhere; }
summary:hover { background: var(--soft); }
summary b { display: inline-block; min-width: 4.5rem; font: 600 0.9em ui-monospace, monospace; }
summary span { display: block; }
details > div { padding: 0 0.75rem 0.75rem; }
h3, h4 { margin: 1rem 0 0.25rem; }
h3 { scroll-margin-top: 1rem; }
dl { margin: 0; display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; }
dt, dd { margin: 0; padding: 0.25rem 0.5rem 0.25rem 0; border-top: 1px solid var(--line); }
dd { min-width: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) { dl { display: block; } dd { border-top: 0; } }
"""
_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_CODE: Final = re.compile("`([^`]+)`")
_BOUNDS: Final = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "default": "left out: {}",
}


def install(app: FastAPI) -> None:
    """Serve the page; FastAPI's own would load its script from a host that is not ours."""

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(page(request.app.openapi()), headers=_HEADERS)


def page(openapi: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document."""
    info = openapi["info"]
    title = escape(f"{info['title']} {info['version']}")
    operations: dict[str, list[str]] = {}
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            [tag] = operation["tags"]
            operations.setdefault(tag, []).append(_operation(method, path, operation))
    sections = [f"<h2>{escape(tag)}</h2>{''.join(told)}" for tag, told in operations.items()]
    schemas = "".join(_schema(*named) for named in openapi["components"]["schemas"].items())
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{title}</h1><p>{escape(info['summary'])} "
        'For programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"{''.join(sections)}<h2>Documents</h2>{schemas}</body></html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = []
    if scopes := _scopes(operation):
        parts.append(f"<p>Needs a key with the scope {' or '.join(scopes)}.</p>")
    if parameters := operation.get("parameters"):
        parts.append(_list("Parameters", map(_parameter, parameters)))
    if body := operation.get("requestBody"):
        needed = "" if body.get("required") else ", may be left out"
        parts.append(_list("Body", ((m, f"{k}{needed}") for m, k in _contents(body))))
    answers = sorted(operation["responses"].items())
    parts.append(_list("Answers", (_answer(*answer) for answer in answers)))
    return (
        f'<details id="{escape(operation["operationId"])}"><summary><b>{method.upper()}</b> '
        f"<code>{escape(path)}</code><span>{_text(operation['description'])}</span></summary>"
        f"<div>{''.join(parts)}</div></details>"
    )


def _scopes(operation: Mapping[str, Any]) -> list[str]:
    asked = [each.get("key", ()) for each in operation.get("security", ())]
    return [f"<code>{escape(scope)}</code>" for scopes in asked for scope in scopes]


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, str]:
    schema, place = parameter["schema"], parameter["in"]
    needed = ", needed" if parameter["required"] else ""
    about = _text(parameter.get("description", ""))
    kind = f"<em>In the {place}{needed}; {_kind(schema)}{_bounds(schema)}.</em>"
    return f"<code>{escape(parameter['name'])}</code>", f"{about} {kind}"


def _answer(status: str, response: Mapping[str, Any]) -> tuple[str, str]:
    told = ["" if status < "300" else escape(response["description"])]
    told += [f"<em>{kind} ({media})</em>" for media, kind in _contents(response)]
    return f"<code>{escape(status)}</code>", " ".join(told) or "nothing"


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    told = f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{_text(schema.get("description", ""))}'
    if "enum" in schema:
        return f"{told} <em>{_kind(schema)}</em></p>"
    rows = []
    for field, of in schema.get("properties", {}).items():
        about = f"{_text(of.get('description', ''))} <em>{_kind(of)}{_bounds(of)}</em>"
        rows.append((f"<code>{escape(field)}</code>", about))
    return f"{told}</p>{_list('', rows)}"


def _contents(of: Mapping[str, Any]) -> list[tuple[str, str]]:
    contents = of.get("content", {}).items()
    return [
        (f"<code>{escape(media)}</code>", _kind(content["schema"])) for media, content in contents
    ]


def _kind(schema: Mapping[str, Any]) -> str:
    """What a value may be, in words."""
    match schema:
        case {"$ref": reference}:
            name = escape(reference.rpartition("/")[2])
            return f'<a href="#{name}">{name}</a>'
        case {"anyOf": kinds}:
            return " or ".join(f"{_kind(kind)}{_bounds(kind)}" for kind in kinds)
        case {"enum": values}:
            return " or ".join(f"<code>{escape(str(value))}</code>" for value in values)
        case {"type": "array", "items": items}:
            return f"list of {_kind(items)}"
        case {"additionalProperties": {} as values}:
            return f"object of {_kind(values)}"
        case _:
            named = schema.get("const") or schema.get("format") or schema.get("type", "anything")
            return escape(str(named))


def _text(description: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(description))


def _bounds(schema: Mapping[str, Any]) -> str:
    told = [text.format(escape(str(schema[k]))) for k, text in _BOUNDS.items() if schema.get(k)]
    return "".join(f", {text}" for text in told)


def _list(title: str, rows: Iterable[tuple[str, str]]) -> str:
    heading = f"<h4>{title}</h4>" if title else ""
    return heading + "<dl>" + "".join(f"<dt>{a}</dt><dd>{b}</dd>" for a, b in rows) + "</dl>"
