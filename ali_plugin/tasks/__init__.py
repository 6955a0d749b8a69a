"""What the commands do to a trained model.

``inputs`` finds the model and the samples, ``generate`` makes tensors of them, ``output`` writes these, ``export``
writes a folder to publish, and ``layouts`` knows the two forms of such a folder. They may import everything below
a model and ``training``'s config; no package but ``bench``, ``experiments`` and the commands imports them.
"""
