"""A model on the disk: where a folder is written, read and checked.

Lives here: ``model_folder`` (the library's layout, and reading either), ``pipeline_layout`` (that of a diffusers
pipeline), ``weights`` (safetensors files), ``training_record`` and ``evaluation_record`` (the two records that go with
a model), ``checked`` (all that a card or a push needs to know of a folder, found out once), ``released`` (folders that
come with the package).
Imports ``config`` and what is below it; never ``hub``, ``model``, ``training`` or ``evaluation``.
"""
