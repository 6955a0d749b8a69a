"""How long the paper's L2-SVM protocol takes: ``python benchmarks/l2_svm.py MODEL DATA_DIR [OUT.json]``.

Features of complete Fashion-MNIST, C chosen on held-out samples, 100 random sets of 1,000 labels. Processor seconds
tell the work apart from whatever else the machine does.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

from ali_plugin import ALI
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.features import encoder_features, standardise
from ali_plugin.evaluation.linear import L2SVM
from ali_plugin.support import atomic, machine

LABELS, SETS, SEED = 1000, 100, 0


def main(model: str, data_dir: str, out: str | None = None) -> None:
    context = Context(ALI.from_pretrained(model), "fashion-mnist", Path(data_dir))
    wall, processor = time.perf_counter(), time.process_time()
    train, test = encoder_features(context, "train"), encoder_features(context, "test")
    standardise(train, test)
    features = time.process_time() - processor
    svm = L2SVM(train, context.class_labels("train"), LABELS, seed=SEED)
    figures = svm.figures(SETS, test, context.class_labels("test"))
    found = {
        "command": "python benchmarks/l2_svm.py MODEL DATA_DIR",
        "labels": LABELS,
        "sets": SETS,
        "feature_size": train.shape[1],
        "processor_seconds": round(time.process_time() - processor, 1),
        "processor_seconds_of_features": round(features, 1),
        "wall_seconds": round(time.perf_counter() - wall, 1),
        **figures,
        "seed": SEED,
        "machine": {**machine.versions("scikit-learn"), **machine.hardware(torch.device("cpu"))},
    }
    print(json.dumps(found, indent=2))
    if out:
        atomic.write(Path(out), json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
