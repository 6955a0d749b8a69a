"""How large a number may be: one set of limits for whoever writes it and whoever reads it again."""

from __future__ import annotations

MAX_SIZE = 1 << 16
"""Of a latent, a condition, a number of classes, a dimension of the data."""

MAX_ELEMENTS = 1 << 26
"""Of one sample."""

MAX_STEPS = 10**9 - 1
"""Of a run, and of whatever is counted in steps, samples or epochs: names of checkpoints have nine digits."""

MAX_SEED = (1 << 63) - 1
"""Of everything random: JSON is read with integers of 64 bits."""

MAX_ARGUMENT = 1 << 17
"""An integer among the arguments of a part."""

MAX_REGISTRATIONS = 20_000
"""Modules, parameters and buffers of one part; a residual net of 1,000 layers has some 8,000."""

MAX_PARAMETERS = 1 << 34
"""Numbers in the parameters and buffers of one part."""

MAX_BUILD_SECONDS = 10.0
"""Of the processor's time, in which a part without memory (on the meta device) is built."""

MAX_DRAWN_ELEMENTS = 1 << 30
"""Of what one command holds in memory: 4 GiB of float32."""
