"""The one name that equal settings have on every machine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math


def canonical_json(obj) -> str:
    """The one JSON form of ``obj``: sorted keys, no spaces, dataclasses as objects, whole floats as integers.

    ``1`` and ``1.0`` are equal settings and are written alike; other floats are written by their shortest exact form,
    which is the same on every machine.

    Raises:
        TypeError: for anything that is not a setting (paths, arrays, sets, keys that are not strings, ...).
        ValueError: for NaN and infinity.
    """
    return json.dumps(plain(obj), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def plain(obj):
    """``obj`` as JSON holds it; raises as :func:`canonical_json`."""
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        return {f.name: plain(getattr(obj, f.name)) for f in dataclasses.fields(obj)}
    if type(obj).__module__ == "numpy" and getattr(obj, "shape", None) == ():
        obj = obj.item()
    if obj is None or isinstance(obj, (bool, str, int)):
        return obj
    if isinstance(obj, float):
        if not math.isfinite(obj):
            raise ValueError(f"a setting must be a finite number, got {obj}")
        return int(obj) if obj.is_integer() else obj
    if isinstance(obj, (list, tuple)):
        return [plain(x) for x in obj]
    if isinstance(obj, dict):
        if not all(isinstance(k, str) for k in obj):
            raise TypeError(f"keys of a setting must be strings, got {[k for k in obj if not isinstance(k, str)]}")
        return {k: plain(v) for k, v in obj.items()}
    raise TypeError(
        f"a {type(obj).__name__} has no fingerprint: use numbers, strings, lists, dicts or dataclasses "
        "(a file by its SHA-256, an array by the fingerprint of what made it)"
    )


def fingerprint(obj) -> str:
    """The first 12 hex digits of the SHA-256 of :func:`canonical_json`."""
    return hashlib.sha256(canonical_json(obj).encode()).hexdigest()[:12]
