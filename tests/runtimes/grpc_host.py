"""AutoGen's gRPC host: `python -m tests.runtimes.grpc_host` prints its address and serves."""

import asyncio
import socket

from autogen_ext.runtimes.grpc import GrpcWorkerAgentRuntimeHost


async def main() -> None:
    with socket.socket() as reserved:
        # Bound and never listening: nobody else is given this port, and gRPC may share it.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*reserved.getsockname())
        host = GrpcWorkerAgentRuntimeHost(address)
        host.start()
        print(address, flush=True)  # noqa: T201
        await host.stop_when_signal()


if __name__ == "__main__":
    asyncio.run(main())
