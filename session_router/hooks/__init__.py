"""Who is told of ends: requests to other systems, and callbacks of programs that embed this."""

from session_router.hooks.hook import Hook, HookEvent, NewHook
from session_router.hooks.hooks import Callback, Hooks
from session_router.hooks.store import HookStore

__all__ = ["Callback", "Hook", "HookEvent", "HookStore", "Hooks", "NewHook"]
