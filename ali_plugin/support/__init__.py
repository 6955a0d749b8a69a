"""What every room needs and what knows nothing of models.

Lives here: ``atomic`` (files and folders as a whole or not at all), ``locks``, ``limits`` (numbers that whoever writes
and whoever reads agree on), ``strict_json``, ``devices``, ``machine`` (what a figure depends on), ``extras`` (optional
packages), ``progress``. Imports ``errors`` only.
"""
