"""Tables of any number of standardised features: ours, small MLPs for games with gradient penalties."""

from functools import partial

from ali_plugin.architectures.triple import Triple
from ali_plugin.nets.tables import DecoderTable, DiscriminatorTable, EncoderTable, leaky_relu, linear
from ali_registry import TrainingDefaults

leaky = partial(linear, activation=leaky_relu(0.2))

TABULAR = Triple(
    name="tabular",
    summary="tables of any number of standardised features, small MLPs",
    reference="ali-plugin's own",
    data_shape=(None,),
    latent_size=16,
    encoder=EncoderTable((leaky(128), leaky(128), linear(None))),
    decoder=DecoderTable((leaky(128), leaky(128), linear(None))),
    discriminator=DiscriminatorTable(
        x_rows=(leaky(128), leaky(128)), z_rows=(leaky(128),), joint_rows=(leaky(128), leaky(128), linear(None))
    ),
    training=TrainingDefaults(
        dataset="breast-cancer",
        batch_size=64,
        epochs=300,
        lr="cosine:5e-4->1e-5",
        beta1=0.0,
        beta2=0.99,
        ema=0.99,
        objective="relativistic",
        settings={"objective": {"gamma": 1.0, "penalty_every": 4, "cycle_x": 2.0, "cycle_z": 0.5}},
    ),
    part_shape=(None,),
    init_std=0.1,
)
