"""Fashion-MNIST, 1x28x28: ours, fully connected, the paper's game at its least cost."""

from functools import partial

from ali_plugin.architectures.triple import Triple
from ali_plugin.nets.tables import SIGMOID, DecoderTable, DiscriminatorTable, EncoderTable, leaky_relu, linear
from ali_registry import TrainingDefaults

LEAKY = leaky_relu(0.1)
leaky = partial(linear, norm=True, activation=LEAKY)
judge = partial(linear, activation=LEAKY)

FASHION = Triple(
    name="fashion",
    summary="Fashion-MNIST, 1x28x28, fully connected, the paper's game",
    reference="ali-plugin's own",
    data_shape=(1, 28, 28),
    latent_size=16,
    encoder=EncoderTable((leaky(512), leaky(512), linear(None))),
    decoder=DecoderTable((leaky(512), leaky(512), linear(None, activation=SIGMOID))),
    discriminator=DiscriminatorTable(
        x_rows=(judge(512, dropout=0.1),),
        z_rows=(judge(512),),
        joint_rows=(judge(512, dropout=0.1), judge(512, dropout=0.1), linear(None, dropout=0.1)),
    ),
    training=TrainingDefaults(
        dataset="fashion-mini", batch_size=50, epochs=65, lr=5e-4, beta1=0.5, beta2=0.99, ema=0.998
    ),
    part_shape=(1, 28, 28),
    init_std=0.02,
)
