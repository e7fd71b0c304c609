"""The study's name for :mod:`contrec.files`."""

from contrec.files import replacing, replacing_all, room, sha256

__all__ = ["replacing", "replacing_all", "room", "sha256"]
