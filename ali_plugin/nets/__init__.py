"""Nets from tables of layers, what conditionals return, and what a plugin's net may offer.

Lives here: ``tables`` (rows as papers print them, no torch), ``layers`` (one row as a module), ``table_nets`` (the
three nets of a table), ``distribution`` (q(z|x) and p(x|z)), ``protocol`` (what a net may offer beside ``forward``),
``state`` (a net's tensors by name, whatever it is wrapped in).
Imports ``support`` and ``errors``; never the config that names a net, nor anything above it.
"""
