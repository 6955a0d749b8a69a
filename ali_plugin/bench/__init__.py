"""How fast the training step is.

Lives here: ``bench`` (throughput, counted work, memory), ``textbook`` (the step that it is compared with).
Imports ``training`` and what is below it; imported by the command line alone.
"""
