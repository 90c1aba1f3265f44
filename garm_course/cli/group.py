"""A group of commands as `garm` shows it."""

from difflib import get_close_matches

from typer.core import TyperGroup


class Group(TyperGroup):
    """Commands in the order of registration; an unknown one is answered with the nearest and with the list."""

    def list_commands(self, ctx):
        """Names in the order of registration."""
        return list(self.commands)

    def get_command(self, ctx, cmd_name):
        """The command of a name.

        Raises:
            ValueError: there is none; the message has the nearest one and all of them.
        """
        command = super().get_command(ctx, cmd_name)
        if command is None:
            near = get_close_matches(cmd_name, self.commands, n=1, cutoff=0.5)
            raise ValueError(
                f"no command {cmd_name!r}; "
                + (f"did you mean '{ctx.command_path} {near[0]}'? " if near else "")
                + f"The commands are: {', '.join(self.commands)}"
            )
        return command
