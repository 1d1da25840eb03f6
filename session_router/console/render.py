"""Pages and fragments, from templates."""

from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from session_router.console import words
from session_router.release import release

_TEMPLATES: Final = Environment(
    loader=PackageLoader("session_router.console"),
    autoescape=True,  # all that is shown was given by somebody
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(
    length=words.length,
    age=words.age,
    moment=words.moment,
    count=words.count,
    plain=words.plain,
    exact=words.exact,
    event=words.event,
)
_TEMPLATES.globals.update(version=release() or "unknown")


def rendered(
    template: str, *, status: int = 200, headers: dict[str, str] | None = None, **shown: Any
) -> HTMLResponse:
    """The answer with a template."""
    return HTMLResponse(_TEMPLATES.get_template(template).render(shown), status, headers)
