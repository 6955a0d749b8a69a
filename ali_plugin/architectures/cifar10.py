"""CIFAR-10: the table of appendix A, and the reading of it that the authors released."""

from functools import partial

from ali_plugin.architectures.triple import Triple
from ali_plugin.nets.tables import (
    SIGMOID,
    Bias,
    DecoderTable,
    DiscriminatorTable,
    EncoderTable,
    Row,
    conv,
    leaky_relu,
    maxout,
    tconv,
)
from ali_registry import TrainingDefaults

leaky = partial(conv, norm=True, activation=leaky_relu(0.1))
leaky_up = partial(tconv, norm=True, activation=leaky_relu(0.1))

ENCODER = EncoderTable((
    leaky(5, 1, 32),
    leaky(4, 2, 64),
    leaky(4, 1, 128),
    leaky(4, 2, 256),
    leaky(4, 1, 512),
    leaky(1, 1, 512),
    conv(1, 1, None, bias="untied"),
))  # fmt: skip

DECODER = DecoderTable((
    leaky_up(4, 1, 256),
    leaky_up(4, 2, 128),
    leaky_up(4, 1, 64),
    leaky_up(4, 2, 32),
    leaky_up(5, 1, 32),
    leaky(1, 1, 32),
    conv(1, 1, None, bias="untied", activation=SIGMOID),
))  # fmt: skip


def discriminator(filters: int) -> DiscriminatorTable:
    """D, with ``filters`` convolution filters for each feature map that the table prints.

    The table's joint input, 1024 = 512 + 512, counts maps after maxout (filters = 2); in the release the
    convolutions have the printed number and maxout halves it (filters = 1, joint input 512).
    """

    def layer(kernel: int, stride: int, maps: int, dropout: float, bias: Bias = "tied") -> Row:
        return conv(kernel, stride, filters * maps, dropout=dropout, bias=bias, activation=maxout(2))

    return DiscriminatorTable(
        x_rows=(
            layer(5, 1, 32, 0.2),
            layer(4, 2, 64, 0.5),
            layer(4, 1, 128, 0.5),
            layer(4, 2, 256, 0.5),
            layer(4, 1, 512, 0.5),
        ),
        z_rows=(
            layer(1, 1, 512, 0.2, bias="none"),
            layer(1, 1, 512, 0.5, bias="none"),
        ),
        joint_rows=(
            layer(1, 1, 1024, 0.5),
            layer(1, 1, 1024, 0.5),
            conv(1, 1, None, dropout=0.5),
        ),
    )


CIFAR10 = Triple(
    name="cifar10",
    summary="CIFAR-10, 3x32x32, the paper's table (maps counted after maxout)",
    reference="Dumoulin et al., Adversarially Learned Inference, ICLR 2017, appendix A, CIFAR-10",
    data_shape=(3, 32, 32),
    latent_size=64,
    encoder=ENCODER,
    decoder=DECODER,
    discriminator=discriminator(filters=2),
    training=TrainingDefaults(dataset="cifar10", batch_size=100, epochs=6475),
)

CIFAR10_RELEASED = Triple(
    name="cifar10-released",
    summary="CIFAR-10, 3x32x32, as the authors released it (maps counted before maxout)",
    reference="IshmaelBelghazi/ALI, experiments/ali_cifar10.py",
    data_shape=(3, 32, 32),
    latent_size=64,
    encoder=ENCODER,
    decoder=DECODER,
    discriminator=discriminator(filters=1),
    training=TrainingDefaults(dataset="cifar10", batch_size=100, epochs=6475),
)
