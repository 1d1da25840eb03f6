"""Server-sent events, read as browsers read them."""

import json


class Events:
    """What has been read, line by line.

    Attributes:
        told: the names and data of the events.
        comments: how many lines were comments.
    """

    def __init__(self, text: str = "") -> None:
        self.told: list[tuple[str, str]] = []
        self.comments = 0
        self._name = "message"
        self._data: list[str] = []
        for line in text.split("\n"):
            self.read(line)

    @property
    def data(self) -> list[str]:
        """What the items were, without the last event."""
        return [data for name, data in self.told if name == "message"]

    @property
    def end(self) -> tuple[str, str]:
        """The name of the last event, and the outcome that it tells."""
        name, data = self.told[-1]
        return name, json.loads(data)["outcome"]

    def read(self, line: str) -> None:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif line.startswith(":"):
            self.comments += 1
        elif not line and self._data:
            self.told.append((self._name, "\n".join(self._data)))
            self._name, self._data = "message", []
