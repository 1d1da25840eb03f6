"""Google ADK as it comes: without a thread pool for tools."""

from typing import Final

from google.adk.agents import RunConfig
from google.adk.agents.run_config import StreamingMode

from tests.frameworks.agents import google_adk
from tests.frameworks.behaviour import Limit, Limits
from tests.frameworks.fake import Situation

LIMITS: Final[Limits] = {
    Situation.SYNC_TOOL: Limit(
        "a `def` tool runs on the event loop, which stands still with all that is in it, the "
        "worker's heartbeat included; the stop comes when the tool has ended",
        tool_goes_on=False,
        blocks_the_loop=True,
    )
}


class Agent(google_adk.Agent):
    config = RunConfig(streaming_mode=StreamingMode.SSE)
