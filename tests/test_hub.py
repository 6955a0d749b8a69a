"""Publishing and loading through the real client and a real server; see ``hub`` for the server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from ali_plugin import ALI, ALIError
from conftest import program
from hub.actions import call, commits, create, download, files, put, refs
from hub.client import TESTS, Client
from hub.faults import Fault
from hub.fixtures import LocalHub, RawFile
from hub_tasks import ali, ali_in, load, publish, refusal, run_snippet

pytestmark = pytest.mark.usefixtures("hub")  # an empty Hub without faults for every test
REPO = "alice/model"
OWN = {"config.json", "model.safetensors", "README.md", "samples.png", "reconstructions.png", "training.json"}


@pytest.fixture(scope="module")
def offline(hub_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A process that may not ask the Hub."""
    local = LocalHub(hub_server)
    yield local.client(tmp_path_factory.mktemp("offline"), HF_HUB_OFFLINE="1")
    local.close()


def requests(hub: LocalHub, method: str, part: str) -> int:
    return sum(entry["method"] == method and part in entry["path"] for entry in hub.log())


def change(folder: Path) -> None:
    """Give a folder other weights."""
    ALI.from_architecture("fashion").save_pretrained(folder)


# --- Publish and load ------------------------------------------------------------------------------


def test_push_then_load_in_a_fresh_process(hub: LocalHub, writer: Client, trained: Path, tmp_path: Path) -> None:
    pushed = writer(ali, "push", trained, REPO)
    assert (pushed.code, pushed.out) == (0, f"{hub.endpoint}/{REPO}\n")
    assert "stays here: " in pushed.err
    for left in ("checkpoints/", "metrics.jsonl", "samples/", "train_config.json"):
        assert left in pushed.err
    assert set(writer(files, REPO)) == {".gitattributes", *OWN}
    assert writer(commits, REPO) == ["Upload an ALI model", "initial commit"]
    fresh = [sys.executable, "-m", "hub_tasks", REPO]
    loaded = subprocess.run(fresh, env=hub.env(tmp_path / "h"), cwd=TESTS, capture_output=True, text=True, check=True)
    assert loaded.stdout == f"{load(trained)}\n"


def test_the_same_push_makes_no_second_commit(hub: LocalHub, writer: Client, trained: Path) -> None:
    first = json.loads(writer(ali, "push", trained, REPO, "--json").out)
    again = writer(ali, "push", trained, REPO, "--json")
    assert json.loads(again.out) == {**first, "changed": False}
    assert "no commit was made" in again.err
    assert requests(hub, "POST", "/commit/") == 1
    (trained / "evaluation.json").write_text("[]")
    assert json.loads(writer(ali, "push", trained, REPO, "--json", "--message", "More").out)["changed"]
    assert writer(commits, REPO)[0] == "More"


def test_files_of_an_earlier_model_go(writer: Client, trained: Path, tmp_path: Path) -> None:
    writer(ali, "push", trained, REPO)
    change(tmp_path / "other")
    writer(ali, "push", tmp_path / "other", REPO)
    assert set(writer(files, REPO)) == {".gitattributes", "config.json", "model.safetensors", "README.md"}


def test_dry_run_sends_and_writes_nothing(hub: LocalHub, writer: Client, trained: Path) -> None:
    (trained / "README.md").unlink()
    shown = writer(ali, "push", trained, REPO, "--dry-run")
    assert shown.code == 0
    assert f"{(trained / 'model.safetensors').stat().st_size:,}" in shown.out
    listed = json.loads(writer(ali, "push", trained, REPO, "--dry-run", "--json").out)
    assert set(listed["files"]) == OWN
    assert "checkpoints/" in listed["left"]
    assert hub.log() == []
    assert not (trained / "README.md").exists()


def test_push_from_python(hub: LocalHub, writer: Client, anybody: Client, trained: Path, tmp_path: Path) -> None:
    url = writer(publish, trained, REPO, commit_message="From Python")
    assert url.startswith(f"{hub.endpoint}/{REPO}/commit/")
    assert writer(commits, REPO) == ["From Python", "initial commit"]
    assert anybody(load, REPO, cache_dir=tmp_path / "cache") == load(trained)


def test_branches_tags_and_commits(writer: Client, anybody: Client, trained: Path, tmp_path: Path) -> None:
    first = json.loads(writer(ali, "push", trained, REPO, "--json").out)["commit"]
    old = load(trained)
    writer(call, "create_tag", REPO, tag="v1")
    change(trained)
    branched = writer(ali, "push", trained, REPO, "--revision", "next")
    assert branched.out.endswith(f"/{REPO}/tree/next\n")
    new, cache = load(trained), tmp_path / "cache"
    assert old != new
    assert anybody(load, REPO, cache_dir=cache) == old
    assert anybody(load, REPO, revision="next", cache_dir=cache) == new
    assert anybody(load, f"{REPO}@next", cache_dir=cache) == new
    writer(ali, "push", trained, REPO)
    assert anybody(load, REPO, cache_dir=cache) == new
    assert anybody(load, REPO, revision="v1", cache_dir=cache) == old
    assert anybody(load, REPO, revision=first, cache_dir=cache) == old
    assert "has no revision 'v9'" in anybody(refusal, REPO, revision="v9", cache_dir=cache)
    assert "names a revision already" in anybody(refusal, f"{REPO}@v1", revision="next")
    assert "is a tag" in writer(ali, "push", trained, REPO, "--revision", "v1").err


def test_private_models(hub: LocalHub, writer: Client, anybody: Client, trained: Path, tmp_path: Path) -> None:
    assert writer(ali, "push", trained, REPO, "--private").code == 0
    options = {"cache_dir": tmp_path / "cache"}
    assert "or it is private" in anybody(refusal, REPO, **options)
    assert "or it is private" in anybody(refusal, REPO, token=hub.stranger.token, **options)
    assert "does not know this token" in anybody(refusal, REPO, token="hf_wrong_token", **options)
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
    assert anybody(load, REPO, token=hub.reader.token, **options) == load(trained)
    writer(create, "alice/open")
    assert "exists and is public, nothing was sent" in writer(ali, "push", trained, "alice/open", "--private").err
    assert writer(files, "alice/open") == [".gitattributes"]


def test_tokens_that_may_not_write(hub: LocalHub, anybody: Client, writer: Client, trained: Path) -> None:
    writer(create, REPO)
    for token in (hub.reader.token, hub.stranger.token):
        with pytest.raises(Exception, match="may not do that"):
            anybody(publish, trained, REPO, token=token)
    without = anybody(ali, "push", trained, REPO)
    assert without.code == 1
    assert "log in with `hf auth login`" in without.err
    assert writer(commits, REPO) == ["initial commit"]


def test_a_pull_request_by_somebody_else(
    hub: LocalHub, writer: Client, anybody: Client, trained: Path, tmp_path: Path
) -> None:
    writer(ali, "push", trained, REPO)
    old = load(trained)
    change(trained)
    url = anybody(publish, trained, REPO, create_pr=True, token=hub.stranger.token)
    assert url == f"{hub.endpoint}/{REPO}/discussions/1"
    assert writer(refs, REPO)["pull_requests"] == ["1"]
    assert anybody(load, REPO, cache_dir=tmp_path / "cache") == old
    assert anybody(load, REPO, revision="refs/pr/1", cache_dir=tmp_path / "cache") == load(trained)


def test_offline_from_the_cache(
    hub: LocalHub, writer: Client, anybody: Client, offline: Client, trained: Path, tmp_path: Path
) -> None:
    writer(ali, "push", trained, REPO)
    cache = tmp_path / "cache"
    assert "is not complete in the cache" in anybody(refusal, REPO, local_files_only=True, cache_dir=cache)
    anybody(load, REPO, cache_dir=cache)
    before = len(hub.log())
    assert anybody(load, REPO, local_files_only=True, cache_dir=cache) == load(trained)
    assert offline(load, REPO, cache_dir=cache) == load(trained)
    assert "the Hub is not asked" in offline(refusal, "alice/other", cache_dir=cache)
    assert len(hub.log()) == before
    hub.inject(Fault("status", "/api/", status=500))  # the Hub is down: what is cached is good
    assert anybody(load, REPO, cache_dir=cache) == load(trained)


def test_fifty_megabytes(hub: LocalHub, writer: Client, anybody: Client, tmp_path: Path) -> None:
    big = ALI.from_architecture("fashion", latent_size=5600)
    big.save_pretrained(tmp_path / "big")
    assert (tmp_path / "big" / "model.safetensors").stat().st_size > 50e6
    hub.configure(multipart_threshold=16 << 20, part_size=16 << 20)
    assert writer(ali, "push", tmp_path / "big", REPO).code == 0
    hub.inject(Fault("cut", "^/_storage/", method="GET", nth=(1,), at=30 << 20))
    assert anybody(load, REPO, cache_dir=tmp_path / "cache") == load(tmp_path / "big")


def test_a_mistyped_run_folder_looks_like_a_repository(
    hub: LocalHub, anybody: Client, offline: Client, tmp_path: Path
) -> None:
    alone = hub.client(tmp_path / "alone", HF_ENDPOINT="http://127.0.0.1:9")  # where nobody answers
    clients = {"there is no model": anybody, "the Hub is not asked": offline, "nor is it complete in the cache": alone}
    said = {text: said_of_nothing(client, tmp_path) for text, client in clients.items()}
    assert {text: text in err for text, err in said.items()} == dict.fromkeys(clients, True)
    assert {"and no folder of that name here)" in err for err in said.values()} == {True}
    (tmp_path / "runs" / "fashion").mkdir(parents=True)
    said = {text: said_of_nothing(client, tmp_path) for text, client in clients.items()}
    assert {"of that name here; did you mean 'runs/fashion'?)" in err for err in said.values()} == {True}
    (tmp_path / "runs" / "fashon").mkdir(parents=True)  # pull asks for the repository all the same
    assert {"no folder" in said_of_nothing(client, tmp_path) for client in clients.values()} == {False}


def said_of_nothing(client: Client, folder: Path) -> str:
    """What is said of a repository that is nowhere."""
    return client(ali_in, folder, ["pull", "runs/fashon", "--out", "pulled"])[0].err


def test_a_hub_id_wherever_a_model_is_expected(writer: Client, trained: Path, tmp_path: Path) -> None:
    writer(ali, "push", trained, REPO)
    results = {
        "sample": ("sample", REPO, "-n", 4, "--out", tmp_path / "new.png"),
        "reconstruct": ("reconstruct", REPO, "-n", 4, "--out", tmp_path / "again.png"),
        "interpolate": ("interpolate", REPO, "--out", tmp_path / "between.png"),
        "encode": ("encode", REPO, "--out", tmp_path / "codes.safetensors"),
        "evaluate": ("evaluate", REPO, "--metric", "reconstruction"),
        "export": ("export", REPO, "--out", tmp_path / "exported"),
        "card": ("card", REPO),
        "pull": ("pull", REPO, "--out", tmp_path / "pulled"),
        "push": ("push", REPO, "alice/copy"),
    }
    assert {name: writer(ali, *arguments).code for name, arguments in results.items()} == dict.fromkeys(results, 0)
    assert {path.name for path in (tmp_path / "pulled").iterdir()} == OWN
    assert {path.name for path in (tmp_path / "exported").iterdir()} == OWN
    assert load(tmp_path / "pulled") == load(trained)
    assert set(writer(files, "alice/copy")) == {".gitattributes", *OWN}
    assert "is in use" in writer(ali, "pull", REPO, "--out", tmp_path / "pulled").err
    assert "is on the Hub" in writer(ali, "card", REPO, "--write").err


# --- The card on the Hub ---------------------------------------------------------------------------


def test_the_card_on_the_hub(writer: Client, trained: Path) -> None:
    chosen = ("--metric", "reconstruction", "--metric", "representation", "--labels", 100, "--label-sets", 1)
    assert writer(ali, "evaluate", trained, *chosen).code == 0
    writer(ali, "push", trained, REPO)
    card = ModelCard(writer(download, REPO, "README.md").decode())
    data: Any = card.data
    assert data.license == "mit"
    shown = {result.metric_type for result in data.eval_results}
    assert shown == {figure["figure"] for figure in json.loads((trained / "evaluation.json").read_text())}
    assert shown >= {"mse", "psnr", "nearest_neighbour_accuracy"}
    assert writer(run_snippet, card.text) == [4, 1, 28, 28]
    info = writer(call, "model_info", REPO)
    assert (info.library_name, info.pipeline_tag) == ("ali-plugin", "unconditional-image-generation")


def test_sentences_written_on_the_hub_survive(writer: Client, trained: Path) -> None:
    writer(ali, "push", trained, REPO)
    theirs = writer(download, REPO, "README.md").decode() + "\nTrained on a rainy day.\n"
    writer(put, REPO, "README.md", theirs.encode())
    change(trained)
    writer(ali, "push", trained, REPO)
    assert "Trained on a rainy day." in writer(download, REPO, "README.md").decode()
    assert "Trained on a rainy day." in (trained / "README.md").read_text()


# --- Faults ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", "/preupload/", nth=(1,), status=503),
        Fault("status", "/commit/", status=500),
        Fault("drop", "/commit/"),
        Fault("status", "^/_storage/", method="PUT", nth=(1,), status=500),
        Fault("drop", "^/_storage/", method="PUT", nth=(1,), reset=True),
        Fault("drop", "/objects/batch", nth=(1,), reset=True),
        Fault("status", "/api/repos/create", status=503),
    ],
    ids=lambda fault: f"{fault.action} {fault.status} {fault.path}",
)
def test_faults_while_pushing(hub: LocalHub, writer: Client, trained: Path, fault: Fault) -> None:
    writer(create, REPO)
    hub.inject(fault)
    failed = writer(ali, "push", trained, REPO)
    hub.inject()
    if failed.code:
        assert "Traceback" not in failed.err
        assert failed.err.count("error:") == 1
        assert "run it again" in failed.err
        assert writer(commits, REPO) == ["initial commit"]
        assert writer(files, REPO) == [".gitattributes"]
    assert writer(ali, "push", trained, REPO).code == 0
    assert writer(commits, REPO) == ["Upload an ALI model", "initial commit"]


def test_a_lost_answer_is_no_second_commit(hub: LocalHub, writer: Client, trained: Path) -> None:
    hub.inject(Fault("lose", "/commit/"))
    assert "broke off" in writer(ali, "push", trained, REPO).err
    hub.inject()
    assert "no commit was made" in writer(ali, "push", trained, REPO).err
    assert writer(commits, REPO) == ["Upload an ALI model", "initial commit"]


def test_somebody_else_pushes_meanwhile(hub: LocalHub, writer: Client, trained: Path) -> None:
    writer(create, REPO)
    hub.inject(Fault("delay", "/objects/batch|/preupload/", seconds=1))
    ended: list[str] = []
    pushing = threading.Thread(target=lambda: ended.append(writer(ali, "push", trained, REPO).err))
    pushing.start()
    while not requests(hub, "GET", f"/api/models/{REPO}"):
        time.sleep(0.02)
    time.sleep(0.3)  # the head is known now, and the push is in its delay
    hub.write(REPO, {"config.json": RawFile(b"{}")})
    pushing.join()
    assert "somebody else changed 'alice/model' meanwhile, nothing was published" in ended[0]
    assert writer(files, REPO) == [".gitattributes", "config.json"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", "/api/models/", status=500),
        Fault("status", "/resolve/", status=503, headers={"Retry-After": "0"}),
        Fault("drop", "/resolve/", reset=True),
        Fault("truncate", "^/_storage/", at=1000),
        Fault("corrupt", "^/_storage/", at=70_000),
    ],
    ids=lambda fault: f"{fault.action} {fault.path}",
)
def test_faults_while_loading(
    hub: LocalHub, writer: Client, anybody: Client, trained: Path, tmp_path: Path, fault: Fault
) -> None:
    writer(ali, "push", trained, REPO)
    hub.inject(fault)
    text = anybody(refusal, REPO, cache_dir=tmp_path / "cache")
    assert "\n" not in text
    assert "run it again" in text
    hub.inject()
    assert anybody(load, REPO, cache_dir=tmp_path / "cache") == load(trained)


def test_damage_in_the_cache_is_noticed(writer: Client, anybody: Client, trained: Path, tmp_path: Path) -> None:
    writer(ali, "push", trained, REPO)
    cache = tmp_path / "cache"
    anybody(load, REPO, cache_dir=cache)
    (weights,) = cache.rglob("model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.resolve().write_bytes(content)
    assert anybody(load, REPO, cache_dir=cache) == load(trained)


LIMITED = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)); "


def test_a_full_disk(hub: LocalHub, writer: Client, anybody: Client, trained: Path, tmp_path: Path) -> None:
    writer(ali, "push", trained, REPO)
    code = f"{LIMITED}from ali_cli.main import main; sys.argv = ['ali', 'pull', '{REPO}', '--out', sys.argv[1]]; main()"
    command = [sys.executable, "-c", code, str(tmp_path / "pulled")]
    env = hub.env(tmp_path / "home")
    full = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert full.returncode == 1
    assert "no room on the disk for 'alice/model'" in full.stderr
    assert not (tmp_path / "pulled").exists()
    assert anybody(load, REPO, cache_dir=tmp_path / "home" / "hub") == load(trained)


@pytest.mark.parametrize("command", ["push", "pull"])
def test_interrupted(
    hub: LocalHub, writer: Client, anybody: Client, trained: Path, tmp_path: Path, command: str
) -> None:
    writer(create, REPO)
    if command == "pull":
        writer(ali, "push", trained, REPO)
    arguments = [trained, REPO] if command == "push" else [REPO, "--out", tmp_path / "pulled"]
    hub.inject(Fault("delay", "^/_storage/", seconds=3))
    seen = len(hub.log())
    env = hub.env(tmp_path / "home", hub.writer.token)
    process = subprocess.Popen([*program(), command, *map(str, arguments)], env=env, stderr=subprocess.PIPE, text=True)
    while not any("batch" in entry["path"] or "resolve" in entry["path"] for entry in hub.log()[seen:]):
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    hub.inject()
    if command == "push":
        assert writer(files, REPO) == [".gitattributes"]
        assert writer(ali, "push", trained, REPO).code == 0
    assert not (tmp_path / "pulled").exists()
    assert anybody(load, REPO, cache_dir=tmp_path / "home" / "hub") == load(trained)


# --- Trust nothing ---------------------------------------------------------------------------------


def test_only_the_models_own_files_are_taken(hub: LocalHub, anybody: Client, trained: Path, tmp_path: Path) -> None:
    hostile = [
        "../escaped.txt",
        "a/../../escaped.txt",
        "/tmp/escaped.txt",
        "modeling.py",
        "weights.pkl",
        "sub/config.json",
    ]
    own = {name: RawFile((trained / name).read_bytes(), lfs=name.endswith("safetensors")) for name in OWN}
    hub.write(REPO, {**own, **{name: RawFile(b"hostile") for name in hostile}})
    assert anybody(load, REPO, cache_dir=tmp_path / "cache") == load(trained)
    assert anybody(ali, "pull", REPO, "--out", tmp_path / "deep" / "pulled").code == 0
    assert {path.name for path in (tmp_path / "deep" / "pulled").iterdir()} == OWN
    found = {path.name for path in tmp_path.rglob("*")}
    assert not found & {"escaped.txt", "modeling.py", "weights.pkl"}


def test_repositories_that_are_no_models(hub: LocalHub, anybody: Client, trained: Path, tmp_path: Path) -> None:
    options = {"cache_dir": tmp_path / "cache"}
    hub.write("a/empty", {"other.txt": RawFile(b"")})
    assert "has no config.json: it is no model of this library" in anybody(refusal, "a/empty", **options)
    config = (trained / "config.json").read_bytes()
    hub.write("a/pickled", {"config.json": RawFile(config), "pytorch_model.bin": RawFile(b"\x80\x04")})
    assert "has no model.safetensors" in anybody(refusal, "a/pickled", **options)
    hub.write("a/liar", {"config.json": RawFile(config), "model.safetensors": RawFile(b"x", lfs=True, size=1 << 40)})
    assert "a/liar" in anybody(refusal, "a/liar", **options)
    assert "there is no model 'a/absent' on the Hub" in anybody(refusal, "a/absent", **options)
    hub.write("a/other", {"config.json": RawFile(b'{"model_type": "bert"}'), "model.safetensors": RawFile(b"x")})
    assert "schema_version is None" in anybody(refusal, "a/other", **options)


def test_a_missing_plugin_is_named(hub: LocalHub, anybody: Client, trained: Path, tmp_path: Path) -> None:
    config = json.loads((trained / "config.json").read_text())
    config["encoder"]["name"] = "somebodys-resnet"
    config["plugins"].append({"distribution": "somebodys-ali-nets", "version": "1.2.3"})
    (trained / "config.json").write_text(json.dumps(config))
    hub.write(REPO, {name: RawFile((trained / name).read_bytes()) for name in ("config.json", "model.safetensors")})
    text = anybody(refusal, REPO, cache_dir=tmp_path / "cache")
    assert "needs encoder 'somebodys-resnet' of somebodys-ali-nets 1.2.3, which is not installed" in text
    assert anybody(ali, "push", trained, REPO).code == 1


def test_tokens_appear_nowhere(
    hub: LocalHub, writer: Client, anybody: Client, writer_home: Path, trained: Path, tmp_path: Path
) -> None:
    secret = hub.writer.token
    texts: list[str] = []
    for fault in (Fault("status", "/commit/", status=500), Fault("status", status=403)):
        hub.inject(fault)
        texts += writer(ali, "-v", "push", trained, REPO)[1:]
    hub.inject()
    texts += writer(ali, "-v", "push", trained, REPO)[1:]
    texts += writer(ali, "-v", "pull", REPO, "--out", tmp_path / "pulled")[1:]
    for token in (f"{secret}\n!", f"{secret} ", f"{secret}\u00e4"):  # which the HTTP library would quote
        with pytest.raises(ALIError, match="the token is empty or holds") as caught:
            anybody(load, REPO, token=token)
        texts.append(f"{caught.value} {caught.value.__cause__}")
    assert not [text for text in texts if secret in text]
    for path in (p for folder in (writer_home, trained, tmp_path / "pulled") for p in folder.rglob("*") if p.is_file()):
        assert secret.encode() not in path.read_bytes(), path


def test_one_part_alone_leaves_the_rest_on_the_disk(tmp_path: Path) -> None:
    ALI.from_architecture("fashion", latent_size=10_000).save_pretrained(tmp_path / "big")
    code = (
        "import resource, sys; from ali_plugin import ALI; ALI.from_pretrained(sys.argv[2], parts=('decoder',))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "model = ALI.from_pretrained(sys.argv[1], parts=('decoder',))\n"
        "assert model.encoder is None and model.discriminator is None\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    ALI.from_architecture("fashion").save_pretrained(tmp_path / "small")
    command = [sys.executable, "-c", code, str(tmp_path / "big"), str(tmp_path / "small")]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout)
    sizes = {name: tensor.nbytes for name, tensor in ALI.from_pretrained(tmp_path / "big").state_dict().items()}
    decoder = sum(size for name, size in sizes.items() if name.startswith("decoder."))
    assert decoder < sum(sizes.values()) / 3
    assert grown * 1024 < 2.5 * decoder  # which is read once and copied once
