"""Tiny ImageNet, centre crops of 64 pixels: the table of appendix A."""

from functools import partial

from ali_plugin.architectures.triple import Triple
from ali_plugin.nets.tables import SIGMOID, DecoderTable, DiscriminatorTable, EncoderTable, conv, leaky_relu, tconv
from ali_registry import TrainingDefaults

LEAKY = leaky_relu(0.01)
leaky = partial(conv, norm=True, activation=LEAKY)
leaky_up = partial(tconv, norm=True, activation=LEAKY)
judge = partial(conv, dropout=0.2, activation=LEAKY)

TINY_IMAGENET = Triple(
    name="tiny-imagenet",
    summary="Tiny ImageNet, 3x64x64, the paper's table",
    reference="Dumoulin et al., Adversarially Learned Inference, ICLR 2017, appendix A, Tiny ImageNet",
    data_shape=(3, 64, 64),
    latent_size=256,
    encoder=EncoderTable((
        leaky(4, 2, 64),
        leaky(4, 1, 64),
        leaky(4, 2, 128),
        leaky(4, 1, 128),
        leaky(4, 2, 256),
        leaky(4, 1, 256),
        leaky(1, 1, 2048),
        leaky(1, 1, 2048),
        conv(1, 1, None, bias="untied"),
    )),
    decoder=DecoderTable((
        leaky(1, 1, 2048),
        leaky(1, 1, 256),
        leaky_up(4, 1, 256),
        leaky_up(4, 2, 128),
        leaky_up(4, 1, 128),
        leaky_up(4, 2, 64),
        leaky_up(4, 1, 64),
        leaky_up(4, 2, 64),
        conv(1, 1, None, bias="untied", activation=SIGMOID),
    )),
    discriminator=DiscriminatorTable(
        x_rows=(
            judge(4, 2, 64),
            judge(4, 1, 64, norm=True),
            judge(4, 2, 128, norm=True),
            judge(4, 1, 128, norm=True),
            judge(4, 2, 256, norm=True),
            judge(4, 1, 256, norm=True),
        ),
        z_rows=(judge(1, 1, 2048), judge(1, 1, 2048)),
        joint_rows=(judge(1, 1, 4096), judge(1, 1, 4096), conv(1, 1, None, dropout=0.2)),
    ),
    training=TrainingDefaults(dataset="tiny-imagenet", batch_size=128, epochs=125),
)  # fmt: skip
