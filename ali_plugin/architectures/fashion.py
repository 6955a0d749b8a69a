"""Fashion-MNIST, 1x28x28: ours, small enough for two CPU cores."""

from functools import partial

from ali_plugin.architectures.triple import Triple
from ali_plugin.tables import (
    SIGMOID,
    DecoderTable,
    DiscriminatorTable,
    EncoderTable,
    conv,
    leaky_relu,
    tconv,
)
from ali_registry import TrainingDefaults

leaky = partial(conv, norm=True, activation=leaky_relu(0.1))
leaky_up = partial(tconv, norm=True, activation=leaky_relu(0.1))
judge = partial(conv, dropout=0.2, activation=leaky_relu(0.1))

FASHION = Triple(
    name="fashion",
    summary="Fashion-MNIST, 1x28x28, trains in about a minute on two CPU cores",
    reference="ali-plugin's own",
    data_shape=(1, 28, 28),
    latent_size=32,
    encoder=EncoderTable((
        leaky(4, 2, 32, padding=1),
        leaky(4, 2, 64, padding=1),
        leaky(7, 1, 256),
        conv(1, 1, None),
    )),
    decoder=DecoderTable((
        leaky_up(7, 1, 64),
        leaky_up(4, 2, 32, padding=1),
        tconv(4, 2, None, padding=1, bias="untied", activation=SIGMOID),
    )),
    discriminator=DiscriminatorTable(
        x_rows=(judge(4, 2, 32, padding=1), judge(4, 2, 64, padding=1), judge(7, 1, 256)),
        z_rows=(judge(1, 1, 256), judge(1, 1, 256)),
        joint_rows=(judge(1, 1, 512), conv(1, 1, None, dropout=0.2)),
    ),
    training=TrainingDefaults(dataset="fashion-mini", batch_size=100, epochs=80, lr=5e-4, ema=0.99),
    init_std=0.02,
)  # fmt: skip
