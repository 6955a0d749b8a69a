"""ali-plugin's test kit, and what is particular to these nets and data."""

import pytest
import torch
from ali_plugin import ALI
from ali_plugin.datasets import load_split
from ali_plugin.errors import PartMismatch
from ali_plugin.testing import architecture_suite, dataset_suite

test_architectures = architecture_suite("resnet28", "resnet32")
test_dataset = dataset_suite("shapes")


def test_the_discriminator_is_contractive_in_every_layer() -> None:
    torch.manual_seed(0)
    net = ALI.from_architecture("resnet28").part("discriminator").train()
    x, z = torch.rand(4, 1, 28, 28), torch.randn(4, 32)
    for _ in range(30):  # one power iteration each
        net(x, z)
    weights = [m.weight.flatten(1) for m in net.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(weights) == 11
    for weight in weights:
        assert isinstance(weight, torch.Tensor)
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=0.1)


def test_the_parts_go_with_other_pictures_too() -> None:
    model = ALI.from_architecture("fashion", parts={"encoder": "resnet"})
    assert model.encode(torch.rand(2, 1, 28, 28)).mean.shape == (2, model.config.latent_size)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 16, 24)])
def test_shapes_are_drawn_in_any_size_with_all_classes(shape: tuple[int, ...]) -> None:
    split = load_split("shapes", "train", data_dir=None, data_shape=shape)
    assert split.labels is not None
    assert set(split.labels.tolist()) == {0, 1, 2, 3}
    assert 100 < split.data.max() <= 255
    assert split.data.min() == 0


def test_shapes_are_pictures() -> None:
    with pytest.raises(PartMismatch, match="pictures of 1 or 3 channels"):
        load_split("shapes", "train", data_dir=None, data_shape=(2,))
