"""Who may do what: keys that name a caller, and the scopes that each key has."""

from session_router.access.keys import ApiKey, NewKey, Scope
from session_router.access.store import Keys

__all__ = ["ApiKey", "Keys", "NewKey", "Scope"]
