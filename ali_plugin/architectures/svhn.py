"""SVHN: the table of appendix A."""

from functools import partial

from ali_plugin.architectures.triple import Triple
from ali_plugin.nets.tables import SIGMOID, DecoderTable, DiscriminatorTable, EncoderTable, conv, leaky_relu, tconv
from ali_registry import TrainingDefaults

LEAKY = leaky_relu(0.01)
leaky = partial(conv, norm=True, activation=LEAKY)
leaky_up = partial(tconv, norm=True, activation=LEAKY)
judge = partial(conv, dropout=0.2, activation=LEAKY)

SVHN = Triple(
    name="svhn",
    summary="SVHN, 3x32x32, the paper's table; batch norm in D(x)",
    reference="Dumoulin et al., Adversarially Learned Inference, ICLR 2017, appendix A, SVHN",
    data_shape=(3, 32, 32),
    latent_size=256,
    encoder=EncoderTable((
        leaky(5, 1, 32),
        leaky(4, 2, 64),
        leaky(4, 1, 128),
        leaky(4, 2, 256),
        leaky(4, 1, 512),
        leaky(1, 1, 512),
        conv(1, 1, None, bias="untied"),
    )),
    decoder=DecoderTable((
        leaky_up(4, 1, 256),
        leaky_up(4, 2, 128),
        leaky_up(4, 1, 64),
        leaky_up(4, 2, 32),
        leaky_up(5, 1, 32),
        leaky(1, 1, 32),
        conv(1, 1, None, bias="untied", activation=SIGMOID),
    )),
    discriminator=DiscriminatorTable(
        x_rows=(
            judge(5, 1, 32),
            judge(4, 2, 64, norm=True),
            judge(4, 1, 128, norm=True),
            judge(4, 2, 256, norm=True),
            judge(4, 1, 512, norm=True),
        ),
        z_rows=(judge(1, 1, 512), judge(1, 1, 512)),
        joint_rows=(judge(1, 1, 1024), judge(1, 1, 1024), conv(1, 1, None, dropout=0.2)),
    ),
    training=TrainingDefaults(dataset="svhn", batch_size=100, epochs=100),
)  # fmt: skip
