"""`completion`: what a shell needs to complete words."""

import click
from click.shell_completion import get_completion_class

from imagebatch_cli.exit_codes import COMPLETE


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print the script that makes a shell complete this command's words.

    bash: eval "$(imagebatch completion bash)" in ~/.bashrc. zsh: the same in ~/.zshrc, after compinit.
    fish: imagebatch completion fish > ~/.config/fish/completions/imagebatch.fish
    """
    group = context.find_root()
    kind = get_completion_class(shell)
    assert kind is not None
    assert group.info_name is not None
    name = group.info_name
    script = kind(group.command, {}, name, f"_{name.replace('-', '_').upper()}_COMPLETE")
    click.echo(script.source_template % script.source_vars())
    return COMPLETE
