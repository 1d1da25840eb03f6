"""What the actors and those who watch them agree on."""

from typing import Final

from session_router.settings import Tuning

SESSION: Final = "chat-1"
TUNING: Final = Tuning(heartbeat_interval_sec=1, lease_sec=12)
