"""What the commands do with a trained model.

Lives here: ``inputs`` (where a command's pictures come from), ``generate`` (samples, reconstructions, codes, paths),
``export`` (a folder to publish, in either layout), ``output`` (what is written to ``--out``).
Imports ``model``, ``training``'s config of a run, ``hub`` and what is below; imported by the command line alone.
"""
