"""Files of one's own: read rightly, or refused in one message."""

from .contents import check_file
from .headers import BESIDE, NEEDED, ROLES
from .reading import load, read, summary

__all__ = ["BESIDE", "NEEDED", "ROLES", "check_file", "load", "read", "summary"]
