"""AgentId: the name of an agent."""

import re
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from session_router.errors import InvalidAgentIdError
from session_router.text import NAME_LIMIT, STORABLE_CHARACTER, check_name

TYPE_CHARACTER: Final = r"[A-Za-z0-9_.\-]"
"""What an agent's type consists of, for JSON Schema, too."""
_TYPE: Final = re.compile(f"{TYPE_CHARACTER}+")
_PATTERN: Final = f"^{TYPE_CHARACTER}{{1,{NAME_LIMIT}}}/{STORABLE_CHARACTER}{{1,{NAME_LIMIT}}}$"


class AgentIdLike(Protocol):
    """Any runtime's agent id: AutoGen's, AgentOpera's, or ours."""

    @property
    def type(self) -> str: ...

    @property
    def key(self) -> str: ...


def check_agent_type(value: object) -> str:
    """Return an agent's type that is fit for use.

    Raises:
        InvalidAgentIdError: it is not 1 to 255 characters `[A-Za-z0-9_.-]`.
    """
    agent_type = check_name(value, "agent type", InvalidAgentIdError)
    if not _TYPE.fullmatch(agent_type):
        raise InvalidAgentIdError(
            f"agent type {agent_type!a} has other characters than ASCII letters, "
            "digits, '_', '-' and '.'; rename the type, or put the rest into the key."
        )
    return agent_type


@dataclass(frozen=True, slots=True, order=True)
class AgentId:
    """An agent's name, written `type/key`.

    Args:
        type: which kind of agent; 1 to 255 of the ASCII letters, digits, `_`, `-` and `.`.
            An object with a `.type` of its own (AutoGen's `AgentType`) is taken by that.
        key: which one of its kind; 1 to 255 characters, without NUL and lone surrogates.

    Raises:
        InvalidAgentIdError: a part is not acceptable.
    """

    type: str
    key: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", getattr(self.type, "type", self.type))
        check_agent_type(self.type)
        check_name(self.key, "agent key", InvalidAgentIdError)

    @classmethod
    def stored(cls, agent_type: str, key: str) -> Self:
        """The id as a row has it, unchecked: what was inserted by hand is shown as it is."""
        agent_id = object.__new__(cls)
        object.__setattr__(agent_id, "type", agent_type)
        object.__setattr__(agent_id, "key", key)
        return agent_id

    @classmethod
    def from_str(cls, agent_id: str) -> Self:
        """Parse `type/key`; the first slash parts them, so a key may contain more.

        Raises:
            InvalidAgentIdError: there is no slash, or a part is not acceptable.
        """
        given: object = agent_id  # callers without a type checker hand over anything
        if not isinstance(given, str) or "/" not in given:
            raise InvalidAgentIdError(
                f"agent id {given!a} is no text with a slash; write it as type/key."
            )
        agent_type, _, key = given.partition("/")
        return cls(agent_type, key)

    @classmethod
    def of(cls, agent_id: AgentIdLike) -> "AgentId":
        """Take any runtime's agent id: anything with a `.type` and a `.key`.

        Raises:
            InvalidAgentIdError: it lacks one of the two, or a part is not acceptable.
        """
        if type(agent_id) is AgentId:  # a subclass's would be equal only among themselves
            return agent_id
        try:
            return AgentId(agent_id.type, agent_id.key)
        except AttributeError:
            raise InvalidAgentIdError(
                f"{agent_id!a} is no agent id; give an object with .type and .key, "
                "such as AgentId(type, key)."
            ) from None

    def __str__(self) -> str:
        return f"{self.type}/{self.key}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: cls.from_str(value) if isinstance(value, str) else cls.of(value),
            serialization=core_schema.to_string_ser_schema(when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "string",
            "title": "AgentId",
            "pattern": _PATTERN,
            "examples": ["writer/alice"],
        }
