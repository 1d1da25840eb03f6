"""What was probably meant by a word that there is not."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from session_router.errors import InvalidValueError


def near(given: str, words: Iterable[str]) -> str:
    """The question whether the word nearest to the given one was meant; empty: none is near."""
    return did_you_mean(get_close_matches(given, list(words), n=1))


def did_you_mean(meant: Sequence[str]) -> str:
    """The question whether one of these was meant, to stand behind the message of an error."""
    return f" Did you mean {' or '.join(map(repr, meant))}?" if meant else ""


def one_of(words: Sequence[str], given: str, what: str) -> str:
    """A word that was given on the command line, where only some are understood.

    Args:
        words: those that are.
        given: the word.
        what: the option or argument that it was given for.

    Raises:
        InvalidValueError: it is none of them.
    """
    if given in words:
        return given
    raise InvalidValueError(
        f"{what} {given!a} is unknown; give one of {', '.join(words)}.{near(given, words)}"
    )
