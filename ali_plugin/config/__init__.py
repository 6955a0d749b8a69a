"""What a model is, before it is built: checked, composed of registered parts, described.

Lives here: ``model_config`` (config.json, where every config is checked), ``compose`` (from names to nets: where a part
is built), ``conditions`` (labels and names as condition vectors), ``describe`` (an architecture as a table).
Imports ``nets`` and ``support``; never a file of weights, nor ``model``.
"""
