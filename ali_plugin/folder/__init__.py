"""A model on the disk: where a folder is read, checked and written.

Lives here: ``model_folder`` (the library's layout, and reading either), ``pipeline_layout`` (that of a diffusers
pipeline), ``weights`` (where weights are read and written), ``training_record`` and ``evaluation_record`` (the two records
that go with a model). Imports ``config`` and what is below it; never ``hub``, ``model``, ``training`` or ``evaluation``.
"""
