"""One module per command; the trailing underscore keeps ``list_`` and friends off the builtins."""
