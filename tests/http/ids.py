"""Ids that break what was not made for them."""

HOSTILE_IDS = (
    "a/events",
    "a%2Fevents",
    "%",
    "%25",
    "%zz",
    "100% sure?#&=;",
    ".",
    "..",
    "../../etc/passwd",
    "/",
    "//",
    "trailing/",
    "docs",
    "healthz",
    "events",
    "a+b c",
    " ",
    "'; DROP TABLE sessions; --",
    'double"quote`and\\backslash',
    "new\nline\r\n\ttab",
    "\x01\x7f\x85\u2028",
    "emoji 👩‍👩‍👧‍👦 🏴‍☠️",
    "right\u202eto\u200fleft שלום",
    "e\u0301 is not \u00e9",
    "\ufeff\ufffd\uffff\U0010ffff",
    "{session_id}",
    "x" * 255,
    "👍" * 255,
)


def encoded(text: str) -> str:
    """Every byte percent-encoded, which no rule of any URL library alters."""
    return "".join(f"%{byte:02X}" for byte in text.encode())
