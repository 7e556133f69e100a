"""`dmvton synth`: build shards, look at what they are made of."""

from pose_synth.build import BuildConfig, build
from pose_synth.show import show


def run_build(config: BuildConfig) -> None:
    """Writes shards and manifest.json; run again to go on after an interruption."""
    print(build(config))


def main(argv: list[str] | None = None) -> None:
    """Runs one synth command."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(description="The data engine.")
    commands = parser.add_subcommands()
    one = ArgumentParser(description=run_build.__doc__)
    one.add_class_arguments(BuildConfig)
    commands.add_subcommand("build", one)
    two = ArgumentParser(description="Draws a contact sheet of a bank or of products.")
    two.add_function_arguments(show, as_positional=False)
    commands.add_subcommand("show", two)
    args = parser.parse_args(argv)
    chosen = parser.instantiate_classes(args)
    values = chosen[chosen.subcommand].as_dict()
    if chosen.subcommand == "build":
        run_build(BuildConfig(**values))
    else:
        show(**values)
