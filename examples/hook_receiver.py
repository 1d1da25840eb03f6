"""Takes what the service tells of ends, once its signature is verified; on port 8090.

`pip install standardwebhooks`, then `python hook_receiver.py SECRET`.
"""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRET: Final = Webhook(sys.argv[1])
seen: set[str] = set()


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 when an event is taken; anything else, and it is sent again later."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            told = SECRET.verify(body, dict(self.headers))
        except WebhookVerificationError as error:
            self.send_error(400, str(error))
            return
        # What was told may be told again: the id is the same then.
        if self.headers["webhook-id"] not in seen:
            seen.add(self.headers["webhook-id"])
            event = told["data"]
            print(told["type"], event["session_id"], event["outcome"] or "", flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """No line a request."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", 8090), Receiver).serve_forever()
