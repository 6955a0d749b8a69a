"""The 2-D mixture of 25 Gaussians (figure 5): MLPs, an encoder with concatenated noise, no dropout."""

from functools import partial

from ali_plugin.architectures.triple import Triple
from ali_plugin.nets.tables import RELU, DecoderTable, DiscriminatorTable, EncoderTable, linear, maxout
from ali_registry import TrainingDefaults

relu = partial(linear, norm=True, activation=RELU)

MIXTURE = Triple(
    name="mixture",
    summary="2-D mixture of 25 Gaussians, MLPs, an encoder with concatenated noise",
    reference="Dumoulin et al., Adversarially Learned Inference, ICLR 2017, section 4.5 and the authors' release",
    data_shape=(2,),
    latent_size=2,
    encoder=EncoderTable(
        (relu(400), relu(400), linear(None)),
        posterior="implicit",
        noise=2,
    ),
    decoder=DecoderTable((relu(400), relu(400), relu(400), relu(400), linear(None))),
    discriminator=DiscriminatorTable(
        x_rows=(),
        z_rows=(),
        joint_rows=(*(linear(1000, activation=maxout(5)) for _ in range(3)), linear(None)),  # 200 units each
    ),
    training=TrainingDefaults(dataset="mixture", batch_size=100, epochs=200),
    part_shape=(2,),
    init_std=0.02,
)
