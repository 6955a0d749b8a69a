"""A model on the Hugging Face Hub.

Lives here: ``download`` (fetch, compare digests), ``card`` (README.md of a model), ``publish`` (where a commit is made).
Imports ``folder`` and what is below it; never ``model``, ``training`` or ``evaluation``.
"""
