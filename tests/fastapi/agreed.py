"""What the chat and the tests that run it have agreed on; of the standard library only."""

from typing import Final

DATABASE: Final = "CHAT_DATABASE_URL"
"""The environment variable that names the chat's database."""

IS_UP: Final = "the chat is up"
"""What each of its processes logs when it serves."""
