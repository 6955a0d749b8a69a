"""The one place of the version number in code."""

__version__ = "0.2.0"
