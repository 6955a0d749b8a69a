"""Training: config, batches, the step, the loop, checkpoints, callbacks."""
