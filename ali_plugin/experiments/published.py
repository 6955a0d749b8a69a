"""Figures from papers, beside which ours are shown."""

from __future__ import annotations

from ali_plugin.experiments.record import Published

ALI = "Dumoulin et al., ICLR 2017"
BIGAN = "Donahue et al., ICLR 2017"
PACGAN = "Lin et al., PacGAN, 2018"
VEEGAN = "Srivastava et al., VEEGAN, 2017"
R3GAN = "Huang et al., R3GAN, 2024"

ALICE = Published("MNIST, mean squared error of reconstructions, ALI / ALICE", ".480 / .080", "Li et al., ALICE, 2017")

MIXTURE = (
    Published("ALI, 10 random settings, modes_by_responsibility", "13.4 ± 5.8 (8 to 25)", ALI),
    Published("GAN, 10 random settings, modes_by_responsibility", "10.4 ± 9.2 (1 to 22)", ALI),
    Published("ALI tuned again, 10 runs", "24.1 ± .4 modes, 95.7 % high quality, reverse KL .14", PACGAN),
    Published("PacGAN4", "24.8 ± .2 modes, 93.6 % high quality, reverse KL .04", PACGAN),
    Published("ALI as VEEGAN's authors ran it", "15.8 modes, 1.6 % high quality", VEEGAN),
    Published("VEEGAN", "24.6 modes, 40 % high quality", VEEGAN),
)

REPRESENTATION = (
    Published("SVHN, L2-SVM error, 1,000 labels, 100 label sets", "19.14 ± 0.50 %", ALI),
    Published("MNIST, nearest neighbour accuracy, 50-d code (mnist-mlp)", "97.39 %", BIGAN),
    ALICE,
)

SEMI_SUPERVISED = (
    Published("SVHN, 1,000 labels, test error", "7.42 ± 0.65 %", ALI),
    Published("CIFAR-10, 1,000 labels, test error", "19.98 ± 0.89 %", ALI),
    Published("CIFAR-10, 2,000 labels, test error", "19.09 ± 0.44 %", ALI),
    Published("CIFAR-10, 4,000 labels, test error", "17.99 ± 1.62 %", ALI),
    Published("CIFAR-10, 8,000 labels, test error", "17.05 ± 1.49 %", ALI),
)

CONDITIONAL = (Published("CelebA, 40 attributes, z fixed and attributes varied", "pictures", ALI),)

STACKED = (
    Published("Stacked MNIST, modes of 1,000 / reverse KL, ALI", "16 / 5.4", VEEGAN),
    Published("the same, VEEGAN", "150 / 2.95", VEEGAN),
    Published("the same, packing of four", "992 / .28", PACGAN),
    Published("the same, a GAN with R1 and R2", "693 / .93", R3GAN),
    Published("the same, relativistic with R1 and R2", "1,000 / .078", R3GAN),
)

GAMES = (ALICE, *STACKED)

ANOMALY = (
    Published("Fashion-MNIST, one class ordinary, mean AUROC of ten", ".935", "Golan and El-Yaniv, GeoTrans, 2018"),
)
