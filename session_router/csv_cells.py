"""Text as a cell of CSV that neither a spreadsheet nor a terminal obeys, and that can be read back.

Ids, actors and details are anybody's text. A spreadsheet takes a cell that begins like a formula
for one, and a terminal acts on control characters wherever they stand.
"""

import re
from typing import Final

_FORMULA: Final = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_BLANK_FIRST: Final = ("'", "\t", "\r", "\n")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ESCAPED: Final = re.compile(r"[\\\x00-\x1f\x7f-\x9f]")


def text_cell(text: str) -> str:
    """A text in quotes, as RFC 4180 has it.

    One that would be obeyed, or begins with an apostrophe, gets an apostrophe in front; behind
    that, a backslash is written twice and a control character as `\\x1b`.
    """
    if _FORMULA.match(text) or text.startswith(_BLANK_FIRST) or _CONTROL.search(text):
        text = "'" + _ESCAPED.sub(_escape, text)
    return '"' + text.replace('"', '""') + '"'


def _escape(found: re.Match[str]) -> str:
    return r"\\" if found[0] == "\\" else f"\\x{ord(found[0]):02x}"
