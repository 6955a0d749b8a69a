"""How fast the training step is.

Lives here: ``bench`` (interleaved rounds and their figures), ``setup`` (which steps are measured, on what),
``textbook`` and ``against`` (steps that the project's is compared with), ``work`` (what a step computes and moves),
``limits`` (what the machine could do at best), ``memory`` (peaks, each of a fresh process).
Imports ``training`` and what is below it; imported by the command line alone.
"""
