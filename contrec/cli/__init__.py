"""The command "contrec": run a study or a notebook, list what is there, compare runs, recommend."""

from __future__ import annotations

import os
import sys
import traceback

from contrec.cli.parser import parser
from contrec.cli.text import fail

__all__ = ["main", "parser"]
# what a user can cause and cure; DataError is a ValueError, and a backbone that cannot be had an OSError
EXPECTED_ERRORS = (ValueError, OSError)
NOTEBOOK_MODULES = ("matplotlib", "papermill", "nbformat", "nbconvert", "ipykernel", "ipykernel_launcher")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 a notebook failed, 2 bad input, 130 interrupted."""
    options = parser().parse_args(arguments)
    try:
        return options.do(options)
    except KeyboardInterrupt:
        return fail("stopped; finished parts are kept, and the same command goes on from there", 130)
    except ModuleNotFoundError as error:
        if error.name not in NOTEBOOK_MODULES:
            raise
        return fail(f"{error.name} is not installed: pip install -c constraints.txt -e '.[notebooks]'")
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except EXPECTED_ERRORS as error:
        if options.traceback:
            traceback.print_exc()
        return fail(str(error))
