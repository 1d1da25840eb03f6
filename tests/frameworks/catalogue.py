"""The frameworks that `make frameworks` knows, and where each of them is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).parent.parent.parent
ENVIRONMENTS: Final = CHECKOUT / "build/frameworks"
RESULTS: Final = ENVIRONMENTS / "results"
EXAMPLES: Final = CHECKOUT / "examples"
REQUIREMENTS: Final = Path(__file__).parent / "requirements"


@dataclass(frozen=True)
class Framework:
    """A framework, and how it is to be had here.

    Attributes:
        name: what `make frameworks FRAMEWORKS=...` calls it.
        title: what docs/frameworks.md calls it.
        environment: whose packages it needs: a file in requirements/, a folder of environments.
        example: the file in examples/; None for what needs none of its own.
        has_agent: whether there is a module in agents/, which the matrix asks everything.
    """

    name: str
    title: str
    environment: str
    example: str | None
    has_agent: bool = True

    @property
    def python(self) -> Path:
        """Its environment's interpreter."""
        return ENVIRONMENTS / self.environment / "bin/python"


FRAMEWORKS: Final = (
    Framework("openai_client", "OpenAI client", "openai_client", "openai_client.py"),
    Framework("openai_agents", "OpenAI Agents SDK", "openai_agents", "openai_agents_sdk.py"),
    Framework("langgraph", "LangGraph", "langgraph", "langgraph_agent.py"),
    Framework("pydantic_ai", "Pydantic AI", "pydantic_ai", "pydantic_ai_agent.py"),
    Framework("google_adk", "Google ADK", "google_adk", "google_adk_agent.py"),
    Framework("google_adk_default", "Google ADK, no pool for tools", "google_adk", None),
    Framework("agno", "Agno", "agno", "agno_agent.py"),
    Framework("autogen", "AutoGen, an agent", "autogen", "autogen_agent.py"),
    Framework("autogen_team", "AutoGen, a team", "autogen", None),
    Framework("agent_framework", "Agent Framework", "agent_framework", "agent_framework_agent.py"),
    Framework("crewai", "CrewAI", "crewai", None),
    Framework("ray", "Ray", "ray", "ray_actors.py", has_agent=False),
)


def chosen(names: str) -> list[Framework]:
    """The frameworks of these names, with spaces between them; all where there is none.

    Raises:
        ValueError: there is none of that name.
    """
    by_name = {framework.name: framework for framework in FRAMEWORKS}
    if unknown := set(names.split()) - set(by_name):
        raise ValueError(f"no framework is called {sorted(unknown)}; known: {list(by_name)}")
    return [by_name[name] for name in names.split()] or list(FRAMEWORKS)
