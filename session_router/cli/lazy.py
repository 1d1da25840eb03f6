"""Commands that are imported when they are called, completed, or asked for their own help.

A list of commands needs their names and short helps only. What carries a command out takes a
while to import, and no other command needs it.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from session_router.cli.near import did_you_mean, near

# Contexts, commands and parameters are Any: their classes are click's, of which typer has a private
# copy. It converts values by pydantic, even None, and imports it for the first one.


class LazyCommand(TyperCommand):
    """A command in a list; its function stands in a module that is imported when it is needed."""

    def __init__(self, name: str, short_help: str, place: str) -> None:
        """Take note of a command.

        Args:
            name: what it is called by.
            short_help: its line in the list.
            place: where its function is, as `module:function` of this package.
        """
        super().__init__(name, short_help=short_help, rich_markup_mode=None)
        self._place = place

    def load(self) -> Any:
        """The command itself, with its parameters and its whole help."""
        module, _, function = self._place.partition(":")
        alone = typer.Typer(
            add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
        )
        found = getattr(import_module(f"session_router.cli.{module}"), function)
        alone.command(self.name, cls=_Command)(found)
        return get_command(alone)

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """The context of the command itself; whoever goes on with it never sees this one."""
        return self.load().make_context(info_name, args, parent, **extra)


class _Command(TyperCommand):
    """A command that is completed without converting what was typed so far."""

    def get_params(self, ctx: Any) -> Any:
        params = super().get_params(ctx)
        if ctx.resilient_parsing:
            for param in params:
                vars(param)["process_value"] = lambda _ctx, value: value
        return params


class Group(TyperGroup):
    """A group of commands that tells what may be meant by one that it does not have."""

    def get_params(self, ctx: Any) -> Any:
        """The group's options, all of them flags; those that typer adds default to None."""
        options = super().get_params(ctx)
        for option in options:
            option.default = option.default or False
        return options

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is named first, or refuse."""
        name = args[0]
        if name not in self.commands and not name.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"No such command {name!r}.{self._hint(name, ctx.find_root())}")
        return super().resolve_command(ctx, args)

    def _hint(self, name: str, root: Any) -> str:
        """A command of that very name in another group, else one like it, best of this group."""
        calls = list(_calls(root.command, root.info_name))
        return (
            did_you_mean([call for call in calls if call.endswith(f" {name}")])
            or near(name, self.commands)
            or did_you_mean([call for call in calls if near(name, [call.rpartition(" ")[2]])])
        )


def _calls(group: Any, call: str) -> Iterator[str]:
    """How each command is called, where the group is called so."""
    for name, command in group.commands.items():
        yield f"{call} {name}"
        if isinstance(command, Group):
            yield from _calls(command, f"{call} {name}")
