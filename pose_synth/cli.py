"""`dmvton synth`: build shards, look at what they are made of."""

from collections.abc import Callable

from pose_synth.bodybank import make_body
from pose_synth.build import BuildConfig, build
from pose_synth.measure import outlines, poses, split
from pose_synth.show import show

# Functions whose arguments are the command's options.
PLAIN: dict[str, Callable[..., None]] = {
    "show": show,
    "poses": poses,
    "outlines": outlines,
    "split": split,
    "body": make_body,
}


def run_build(config: BuildConfig) -> None:
    """Writes shards and manifest.json; run again to go on after an interruption."""
    print(build(config))


def main(argv: list[str] | None = None) -> None:
    """Runs one synth command."""
    from jsonargparse import ArgumentParser, set_parsing_settings

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(description="The data engine.")
    commands = parser.add_subcommands()
    one = ArgumentParser(description=run_build.__doc__)
    one.add_class_arguments(BuildConfig)
    commands.add_subcommand("build", one)
    for name, function in PLAIN.items():
        plain = ArgumentParser(description=(function.__doc__ or "").splitlines()[0])
        plain.add_function_arguments(function, as_positional=False)
        commands.add_subcommand(name, plain)
    args = parser.parse_args(argv)
    chosen = parser.instantiate_classes(args)
    values = chosen[chosen.subcommand].as_dict()
    if chosen.subcommand == "build":
        run_build(BuildConfig(**values))
    else:
        PLAIN[chosen.subcommand](**values)
