"""A model on the Hugging Face Hub.

Lives here: ``download`` (a model into the client's cache), ``publish`` (where a commit is made), ``space`` (the commit
of a Space), ``card`` (README.md of a model) and ``card_text`` (its pieces), ``errors`` (the client's failures in our
words), ``guard`` (answers and transfers of a Hub that may be anybody's), ``records`` (which files of the cache were
compared with their digests).
Imports ``folder`` and what is below it, and where ``datasets`` has its cache; never ``model``, ``training`` or
``evaluation``.
"""
