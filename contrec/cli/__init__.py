"""The command "contrec": run a study or a notebook, list what is there, compare runs, recommend."""

from __future__ import annotations

import lzma
import os
import sys
import traceback
import warnings
import zipfile
import zlib

from contrec.cli.parser import parser
from contrec.cli.text import fail, warned

__all__ = ["main", "parser"]
# what a user can cause and cure; DataError is a ValueError, and a backbone that cannot be had an OSError
EXPECTED_ERRORS = (ValueError, OSError)
# what reading a damaged file may raise where no reader has named it
DAMAGED = (EOFError, lzma.LZMAError, zipfile.BadZipFile, zlib.error)
READERS = ("pyarrow", "safetensors")
OUT_OF_MEMORY = ("OutOfMemoryError", "DefaultCPUAllocator")  # of torch, on a GPU and without
EXTRAS = {  # extra -> modules that it brings
    "notebooks": (
        *("matplotlib", "seaborn", "ipywidgets", "papermill", "nbformat", "nbconvert", "latex2mathml", "jinja2"),
        *("ipykernel", "ipykernel_launcher"),
    ),
    "search": ("optuna",),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 a notebook failed, 2 bad input, 130 interrupted."""
    options = parser().parse_args(arguments)
    written, warnings.formatwarning = warnings.formatwarning, warned  # without the line of code that warns
    try:
        return options.do(options)
    except KeyboardInterrupt:
        return fail("stopped; finished parts are kept, and the same command goes on from there", 130)
    except ModuleNotFoundError as error:
        extra = next((extra for extra, modules in EXTRAS.items() if error.name in modules), None)
        if extra is None:
            raise
        return fail(f"{error.name} is not installed: pip install -c constraints.txt -e '.[{extra}]'")
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except EXPECTED_ERRORS as error:
        return _told(options, str(error))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, MemoryError) or any(word in reason for word in OUT_OF_MEMORY):
            return _told(options, f"too little memory ({reason}): take a smaller preset, fewer workers, or fewer data")
        if not isinstance(error, DAMAGED) and type(error).__module__.partition(".")[0] not in READERS:
            raise
        return _told(options, f"a file that was read is damaged ({reason}); --traceback shows where it was read")
    finally:
        warnings.formatwarning = written


def _told(options, message: str) -> int:
    if options.traceback:
        traceback.print_exc()
    return fail(message)
