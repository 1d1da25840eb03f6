"""Errors as foreign code raises them."""


class MuteError(Exception):
    """Its text cannot be made, as that of SDKs' errors about a response that nobody read."""

    def __str__(self) -> str:
        raise RuntimeError("the response was not read")
