"""CelebA: the table of appendix A in the release's reading, and its conditional variant (section 4.4)."""

from dataclasses import replace
from functools import partial

from ali_plugin.architectures.triple import Triple
from ali_plugin.nets.tables import SIGMOID, DecoderTable, DiscriminatorTable, EncoderTable, conv, leaky_relu, tconv
from ali_registry import TrainingDefaults

LEAKY = leaky_relu(0.02)
leaky = partial(conv, norm=True, activation=LEAKY)
leaky_up = partial(tconv, norm=True, activation=LEAKY)
judge = partial(conv, dropout=0.2, activation=LEAKY)

CELEBA = Triple(
    name="celeba",
    summary="CelebA, 3x64x64, the paper's table as released: dropout 0.2 on every input of D",
    reference="Dumoulin et al., Adversarially Learned Inference, ICLR 2017, appendix A, CelebA",
    data_shape=(3, 64, 64),
    latent_size=256,
    encoder=EncoderTable((
        leaky(2, 1, 64),
        leaky(7, 2, 128),
        leaky(5, 2, 256),
        leaky(7, 2, 256),
        leaky(4, 1, 512),
        conv(1, 1, None, bias="untied"),
    )),
    decoder=DecoderTable((
        leaky_up(4, 1, 512),
        leaky_up(7, 2, 256),
        leaky_up(5, 2, 256),
        leaky_up(7, 2, 128),
        leaky_up(2, 1, 64),
        conv(1, 1, None, bias="untied", activation=SIGMOID),
    )),
    discriminator=DiscriminatorTable(
        x_rows=(
            judge(2, 1, 64),
            judge(7, 2, 128, norm=True),
            judge(5, 2, 256, norm=True),
            judge(7, 2, 256, norm=True),
            judge(4, 1, 512, norm=True),
        ),
        z_rows=(judge(1, 1, 1024), judge(1, 1, 1024)),
        joint_rows=(judge(1, 1, 2048), judge(1, 1, 2048), conv(1, 1, None, dropout=0.2)),
    ),
    training=TrainingDefaults(dataset="celeba", batch_size=100, epochs=123),
)  # fmt: skip

# The same parts: each takes a condition and embeds it on its own.
CELEBA_CONDITIONAL = replace(
    CELEBA.architecture(),
    name="celeba-conditional",
    summary="CelebA with its 40 attributes as the condition of all three nets",
    reference="Dumoulin et al., Adversarially Learned Inference, ICLR 2017, section 4.4",
    condition_size=40,
    training=TrainingDefaults(dataset="celeba", batch_size=128, epochs=123),
)
