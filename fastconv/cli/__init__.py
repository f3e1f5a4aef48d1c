"""The command line: fastconv train | test | predict | explain | info | reproduce | bench."""

import argparse
import os
import sys

from fastconv.cli import strings, studies
from fastconv.errors import FastconvError

EXAMPLES = """examples:
  fastconv train names.tsv --model names.safetensors        lines string<TAB>label; also CSV, JSON lines, fastText's
  fastconv test others.tsv --model names.safetensors        accuracy, confusions, calibration
  echo Nakamura | fastconv predict --model names.safetensors
  fastconv explain Nakamura --model names.safetensors       what each character contributes
  fastconv info names.safetensors                           what a model file holds; without a file, this build
  fastconv reproduce surnames                               the surname ConvNet on the bundled names
  fastconv bench --chart bench.png --json bench.json        the 100-update timing

Each command has its own --help. Data goes to standard output, all else to standard error. Status 2 tells of wrong use
or bad data.
"""


def main(arguments=None):
    """Run the command line; return the exit status.

    Parameters
    ----------
    arguments : list of str, optional
        By default those of the process.
    """
    options = parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (FastconvError, OSError, ImportError) as error:
        if isinstance(error, BrokenPipeError):
            # nobody reads on: leave quietly, and let nothing be flushed into the closed pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        if isinstance(error, OSError) and error.filename and error.strerror:
            error = f"{error.filename}: {error.strerror}"
        print(f"fastconv: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fastconv: interrupted", file=sys.stderr)
        return 130


def parser():
    """Return the parser of the command line."""
    from fastconv import __version__

    top = argparse.ArgumentParser(
        prog="fastconv",
        description="Small convolutional networks on the CPU, fast.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"fastconv {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    strings.add(commands)
    studies.add(commands)
    return top
