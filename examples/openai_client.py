"""An answer of the OpenAI client streams until `python examples/stream_stop.py stop` is run."""

import asyncio
from functools import partial
from itertools import count

import httpx2  # which the client brings
from openai import AsyncOpenAI

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade

DATABASE = "sqlite:///examples.db"


class FakeService(httpx2.AsyncBaseTransport):  # in the place of OpenAI's
    async def handle_async_request(self, request):
        return httpx2.Response(200, content=self.words())

    async def words(self):
        for number in count(1):
            yield b'data: {"choices": [{"delta": {"content": "word%d "}}]}\n\n' % number
            await asyncio.sleep(0.1)


async def main() -> None:
    await upgrade(Target(DATABASE))  # makes the tables
    repository = SQLAlchemySessionRepository.from_url(DATABASE)
    client = AsyncOpenAI(api_key="none", http_client=httpx2.AsyncClient(transport=FakeService()))
    create = client.chat.completions.create
    ask = partial(create, model="any", messages=[{"role": "user", "content": "Hi."}], stream=True)
    async with client, SessionManager(repository) as manager:
        stream = manager.stream("chat-1", AgentId("writer", "a"), ask)
        async for chunk in stream:
            print(chunk.choices[0].delta.content, end="", flush=True)
        print(stream.outcome)
    await repository.close()


asyncio.run(main())
