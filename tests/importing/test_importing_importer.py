"""Whole imports: what is in the run is what torch.load and safetensors read."""

import os
import shutil
import sys

import pytest
import torch
from safetensors.torch import save_file

from cnnviz import models, open_run
from cnnviz.errors import CnnvizError, ConfigError, DataError, ModelError, RunError
from cnnviz.importing import ImportOptions, import_checkpoints

STEPS = (0, 5, 10)


@pytest.fixture
def saved(tmp_path, state):
    """A folder of states in files of torch.save."""
    folder = tmp_path / "saved"
    folder.mkdir()
    for step in STEPS:
        torch.save({"state_dict": state(step), "global_step": step}, folder / f"{step}.pt")
    return folder


@pytest.fixture
def tensors(tmp_path, state):
    """A folder of states in safetensors, their names preceded by "model."."""
    folder = tmp_path / "tensors"
    folder.mkdir()
    for step in STEPS:
        save_file({f"model.{n}": t for n, t in state(step).items()}, folder / f"ckpt-{step}.safetensors")
    return folder


def test_a_run_holds_what_was_saved(saved, tmp_path, state, same, net):
    told = []
    run = import_checkpoints([saved], tmp_path / "run", progress=lambda *count: told.append(count))
    assert run.steps.tolist() == list(STEPS)
    assert run.status == "finished"
    for step in STEPS:
        assert same(
            dict(run.at(step).state), torch.load(saved / f"{step}.pt", weights_only=True)["state_dict"]
        )
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert [tuple(layer) for layer in run.layers] == [
        ("conv", "Conv2d"),
        ("norm", "BatchNorm"),
        ("fc", "Linear"),
    ]
    assert run.manifest.parameters == sum(p.numel() for p in net().parameters())
    config = run.manifest.description.config
    assert (config["steps"], config["unwrapped"]) == ("contents: global_step", ["state_dict"])
    images = torch.rand(2, 1, 8, 8)
    ours = open_run(tmp_path / "run", net).at(5).model()
    theirs = net()
    theirs.load_state_dict(state(5))
    assert torch.equal(ours(images), theirs.eval()(images))


def test_a_model_takes_its_prefix_off_and_tells_its_layers(tensors, tmp_path, state, same, net):
    run = import_checkpoints([tensors], tmp_path / "run", model=net())
    assert all(same(dict(run.at(step).state), state(step)) for step in STEPS)
    assert run.manifest.class_name == net.__qualname__
    assert run.manifest.description.config["unwrapped"] == ["model."]
    assert run.at(5).model().conv.weight.equal(state(5)["conv.weight"])


def test_a_network_of_the_registry_is_rebuilt(tmp_path):
    network = models.build("convnet", channels=1, classes=3, image_size=12, depth=[2, 3], hidden=5)
    torch.save(torch.nn.DataParallel(network).state_dict(), tmp_path / "epoch_1.pt")
    run = import_checkpoints([tmp_path / "epoch_1.pt"], tmp_path / "run", model="convnet")
    images = torch.rand(2, 1, 12, 12)
    assert torch.equal(open_run(tmp_path / "run").last.model()(images), network.eval()(images))
    assert run.shapes["pool2"] == (3, 3, 3)
    assert run.layers[0] == ("conv1", "Conv2d")
    assert run.manifest.layers_from == "forward pass"


def test_images_of_a_data_set_travel_with_it(tmp_path):
    network = models.build("convnet", channels=1, classes=10, image_size=28)
    torch.save(network.state_dict(), tmp_path / "1.pt")
    options = ImportOptions(data="mnist-mini", samples=7)
    run = import_checkpoints([tmp_path / "1.pt"], tmp_path / "run", model="convnet", options=options)
    assert run.samples.images.shape == (7, 1, 28, 28)
    assert len(run.classes) == 10
    small = models.build("convnet", channels=1, classes=4, image_size=28)
    torch.save(small.state_dict(), tmp_path / "2.pt")
    with pytest.raises(
        ConfigError, match="images of mnist-mini are not this network's: they have 10 classes"
    ):
        import_checkpoints([tmp_path / "2.pt"], tmp_path / "other", model="convnet", options=options)


def test_networks_of_ones_own_and_images_of_a_data_set(tmp_path):
    class Grey(torch.nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.conv = torch.nn.Conv2d(channels, 2, 3)
            self.fc = torch.nn.Linear(2, 10)

        def forward(self, images):
            return self.fc(self.conv(images).mean((2, 3)))

    class Spread(Grey):
        def forward(self, images):
            return super().forward(images.expand(-1, 3, -1, -1))

    options = ImportOptions(data="mnist-mini", samples=2)
    for name, network in {"grey": Grey(1), "spread": Spread(3)}.items():
        torch.save(network.state_dict(), tmp_path / f"{name}-1.pt")
        run = import_checkpoints([tmp_path / f"{name}-1.pt"], tmp_path / name, model=network, options=options)
        assert run.shapes["conv"] == (2, 26, 26)
        assert run.manifest.description.arguments == {}
        assert run.manifest.description.config["image"] == [1, 28, 28]
    torch.save(Grey(3).state_dict(), tmp_path / "colour-1.pt")
    with pytest.raises(ConfigError, match="they have 1 channel, the network has 3"):
        import_checkpoints([tmp_path / "colour-1.pt"], tmp_path / "x", model=Grey(3), options=options)


def test_a_factory_with_arguments_of_its_own_can_be_opened_again(tmp_path, monkeypatch):
    (tmp_path / "importer_own_nets.py").write_text(
        "from torch import nn\n"
        "def make(classes, width):\n"
        "    return nn.Sequential(nn.Conv2d(2, width, 3), nn.Flatten(), nn.Linear(width * 30 * 30, classes))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import importer_own_nets

    torch.save(importer_own_nets.make(6, 4).state_dict(), tmp_path / "1.pt")
    name = "importer_own_nets:make"
    options = ImportOptions(model_arguments={"width": 4})
    run = import_checkpoints([tmp_path / "1.pt"], tmp_path / "run", model=name, options=options)
    sys.modules.pop("importer_own_nets")
    told = {"channels": 2, "classes": 6, "image_size": 32, "width": 4}
    assert run.manifest.description.arguments == told
    assert run.shapes["0"] == (4, 30, 30)
    assert open_run(tmp_path / "run", name).last.model()[2].out_features == 6


@pytest.mark.parametrize("model", [False, True])
def test_linked_files_are_not_copied(tensors, tmp_path, state, same, model, net):
    options = ImportOptions(link=True)
    run = import_checkpoints([tensors], tmp_path / "run", model=net() if model else None, options=options)
    before = "" if model else "model."
    for step in STEPS:
        assert same(dict(run.at(step).state), {before + n: t for n, t in state(step).items()})
    inodes = {path.stat().st_ino for path in (tmp_path / "run").rglob("*.safetensors")}
    assert {path.stat().st_ino for path in tensors.iterdir()} <= inodes
    copied = import_checkpoints([tensors], tmp_path / "copy", model=net() if model else None)
    assert [s.digest for s in copied] == [s.digest for s in run]
    shutil.rmtree(tensors)
    assert same(dict(open_run(tmp_path / "run").at(5).state), dict(copied.at(5).state))


def test_a_link_to_another_file_system_is_an_error(tensors, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(ConfigError, match=r"can't be linked into .*; leave --link out to copy instead"):
        import_checkpoints([tensors], tmp_path / "run", options=ImportOptions(link=True))
    assert not (tmp_path / "run").exists()


def test_there_must_be_something_to_link(saved, tmp_path):
    with pytest.raises(ConfigError, match="no safetensors files to link"):
        import_checkpoints([saved], tmp_path / "run", options=ImportOptions(link=True))


def test_nothing_half_made_is_left(saved, tmp_path, state):
    torch.save({"state_dict": {**state(7), "fc.bias": torch.zeros(4)}, "global_step": 7}, saved / "7.pt")
    with pytest.raises(ModelError, match=r"weights of .*7.pt don't fit .*0.pt: fc.bias is 4, not 3"):
        import_checkpoints([saved], tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    with pytest.raises(ModelError):
        import_checkpoints([saved], tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_ctrl_c_leaves_nothing_either(saved, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_checkpoints([saved], tmp_path / "run", progress=stop)
    assert not (tmp_path / "run").exists()


def test_types_must_be_the_same(saved, tmp_path, state):
    half = {n: t.half() if t.is_floating_point() else t for n, t in state(7).items()}
    torch.save({"state_dict": half, "global_step": 7}, saved / "7.pt")
    with pytest.raises(ModelError, match=r"conv.weight is of type float16 in .*7.pt, but float32 in .*0.pt"):
        import_checkpoints([saved], tmp_path / "run")


def test_types_that_can_not_be_recorded_name_the_file(tmp_path):
    torch.save({"w": torch.zeros(3, dtype=torch.complex128)}, tmp_path / "1.pt")
    with pytest.raises(CnnvizError, match=r"1.pt"):
        import_checkpoints([tmp_path / "1.pt"], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_there_is_kept(saved, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="exists already"):
        import_checkpoints([saved], tmp_path / "run")
    assert (tmp_path / "run" / "mine.txt").read_text() == "mine"


def test_a_pickle_that_would_execute_leaves_no_run(saved, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'executed'}",)

    torch.save({"state_dict": Evil()}, saved / "11.pt")
    with pytest.raises(DataError, match="never executes"):
        import_checkpoints([saved], tmp_path / "run")
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "run").exists()


def test_optimizers_are_left_behind(tmp_path, net):
    network = net()
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.rand(2, 1, 8, 8)).sum().backward()
    optimizer.step()
    contents = {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 1}
    torch.save(contents, tmp_path / "x.pt")
    run = import_checkpoints([tmp_path / "x.pt"], tmp_path / "run")
    assert set(run.last.state) == set(network.state_dict())
    assert run.steps.tolist() == [1]


def test_arguments_need_a_network(saved, tmp_path):
    with pytest.raises(ConfigError, match="no network: --model NAME"):
        import_checkpoints([saved], tmp_path / "run", options=ImportOptions(model_arguments={"classes": 3}))


@pytest.mark.parametrize("options", [{"image_size": 0}, {"samples": -1}])
def test_options_out_of_range(options):
    with pytest.raises(ConfigError):
        ImportOptions(**options)


def test_scalars_become_metrics(saved, tmp_path):
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(saved)) as writer:
        for step in range(12):
            writer.add_scalar("train/loss", 1 / (1 + step), step)
    run = import_checkpoints([saved], tmp_path / "run")
    steps, values = run.metric("train/loss")
    assert steps.tolist() == list(range(12))
    assert values.tolist() == pytest.approx([1 / (1 + step) for step in range(12)])
    assert run.steps.tolist() == list(STEPS)
