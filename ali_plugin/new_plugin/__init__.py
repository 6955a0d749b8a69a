"""A working plugin package to start from.

Lives here: ``write``, and its templates in ``template``. Imports ``support`` and the registry; no torch.
"""
