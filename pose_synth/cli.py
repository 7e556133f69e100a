"""`dmvton synth`: build shards, look at what they are made of."""

from collections.abc import Callable
from pathlib import Path

from dmvton.errors import MissingExtraError
from pose_synth.bodybank import make_body
from pose_synth.build import BuildConfig, build
from pose_synth.landmarks import BANK as LANDMARKS
from pose_synth.measure import outlines, poses, split
from pose_synth.mine import MineConfig, mine
from pose_synth.parsings import BANK as PARSINGS
from pose_synth.show import show
from pose_synth.tryonset import check


def landmarks(data: Path, out: Path = LANDMARKS, steps: int = 550, seed: int = 0) -> None:
    """Finds the landmarks of tops whose outline hides them, with a network trained on the others.

    Args:
        data: folder with `clothing/train/`, its outlines measured (`dmvton synth outlines`).
        out: bank to write.
        steps: of training, 24 pictures each; 550 take two minutes of one core.
        seed: of the training.
    """
    try:
        from pose_synth.learn import find_all
    except ImportError as error:  # the other commands do without torch
        raise MissingExtraError(
            f"`dmvton synth landmarks` needs torch ({error}); pip install '.[synth,train]'"
        ) from error
    find_all(data, out, steps, seed)


def parse(data: Path, out: Path = PARSINGS, steps: int = 700, seed: int = 5) -> None:
    """Parses the street photos without labels, with a network trained on those that have some.

    Args:
        data: folder with `ccp/`.
        out: bank to write.
        steps: of training, 8 pictures each; 700 take twelve minutes of one idle core.
        seed: of the training.
    """
    try:
        from pose_synth.learn_parsing import parse_all
    except ImportError as error:
        raise MissingExtraError(
            f"`dmvton synth parse` needs torch ({error}); pip install '.[synth,train]'"
        ) from error
    parse_all(data, out, steps, seed)


def heads(checkpoint: Path, data: Path, out: Path, size: tuple[int, int] = (256, 192),
          steps: int = 800, seed: int = 0) -> None:  # fmt: skip
    """Trains a finished student's two heads that look at garment photos, on real ones.

    One says where the garment is, the other whether it is a top at all.

    Args:
        checkpoint: folder of the student.
        data: folder with `clothing/train/<class>/`, and `ccp/` for people, who are no tops.
        out: folder of the checkpoint to write, the same but for the heads.
        size: height and width of the network's pictures.
        steps: of training the mask, 16 pictures each; 800 take ten minutes of one core; 0 leaves it
            as it is and fits the other head alone, as a mean of checkpoints needs it.
        seed: of the training.
    """
    try:
        from pose_synth.learn_heads import train_heads
    except ImportError as error:
        raise MissingExtraError(
            f"`dmvton synth heads` needs torch ({error}); pip install '.[synth,train]'"
        ) from error
    train_heads(checkpoint, data, out, size, steps, seed)


# Functions whose arguments are the command's options.
PLAIN: dict[str, Callable[..., None]] = {
    "show": show,
    "check": check,
    "landmarks": landmarks,
    "parse": parse,
    "heads": heads,
    "poses": poses,
    "outlines": outlines,
    "split": split,
    "body": make_body,
}


def run_build(config: BuildConfig) -> None:
    """Writes shards and manifest.json; run again to go on after an interruption."""
    print(build(config))


def run_mine(config: MineConfig) -> None:
    """Finds the poses on which a student fails, and writes shards with more of them."""
    print(mine(config))


# Commands with a configuration of their own.
CONFIGURED: dict[str, tuple[type, Callable[..., None]]] = {
    "build": (BuildConfig, run_build),
    "mine": (MineConfig, run_mine),
}


def main(argv: list[str] | None = None) -> None:
    """Runs one synth command."""
    from jsonargparse import ArgumentParser, set_parsing_settings

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(description="The data engine.")
    commands = parser.add_subcommands()
    for name, (config, function) in CONFIGURED.items():
        one = ArgumentParser(description=function.__doc__)
        one.add_class_arguments(config)
        commands.add_subcommand(name, one)
    for name, function in PLAIN.items():
        plain = ArgumentParser(description=(function.__doc__ or "").splitlines()[0])
        plain.add_function_arguments(function, as_positional=False)
        commands.add_subcommand(name, plain)
    args = parser.parse_args(argv)
    chosen = parser.instantiate_classes(args)
    values = chosen[chosen.subcommand].as_dict()
    if chosen.subcommand in CONFIGURED:
        config, function = CONFIGURED[chosen.subcommand]
        function(config(**values))
    else:
        PLAIN[chosen.subcommand](**values)
