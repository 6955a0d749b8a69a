"""MNIST as a vector of 784 pixels, whose order does not matter: the BiGAN of Donahue et al. (2017), section 4.1."""

from functools import partial

from ali_plugin.architectures.triple import Triple
from ali_plugin.nets.tables import RELU, SIGMOID, DecoderTable, DiscriminatorTable, EncoderTable, leaky_relu, linear
from ali_registry import TrainingDefaults

LEAKY = leaky_relu(0.2)
judge = partial(linear, activation=LEAKY)

# Each net has two hidden layers of 1,024 units, batch norm in the second of encoder and decoder. Ours: the prior is
# N(0, I) instead of uniform, and D has no batch norm, so that it judges each pair alone.
MNIST_MLP = Triple(
    name="mnist-mlp",
    summary="MNIST, 1x28x28, permutation invariant: MLPs of 1,024 units, a deterministic 50-d code (BiGAN)",
    reference="Donahue et al., Adversarial Feature Learning, ICLR 2017, section 4.1",
    data_shape=(1, 28, 28),
    latent_size=50,
    encoder=EncoderTable(
        (judge(1024), linear(1024, norm=True, activation=LEAKY), linear(None)), posterior="deterministic"
    ),
    decoder=DecoderTable(
        (linear(1024, activation=RELU), linear(1024, norm=True, activation=RELU), linear(None, activation=SIGMOID))
    ),
    discriminator=DiscriminatorTable(x_rows=(), z_rows=(), joint_rows=(judge(1024), judge(1024), linear(None))),
    training=TrainingDefaults(dataset="mnist", batch_size=128, epochs=400, lr=2e-4, beta1=0.5),
    part_shape=(1, 28, 28),
    init_std=0.02,
)
