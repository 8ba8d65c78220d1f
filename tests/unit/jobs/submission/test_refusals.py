"""Jobs that `sam-label schedule` refuses: one sentence for each says what to give instead."""

from pathlib import Path

import pytest
from scheduling import JOB, schedule

WITH_REGION = ("--var", "REGION=eu")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    file = tmp_path / "nightly.toml"
    file.write_text(JOB)
    return file


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        (JOB, ["--target", "cron"], "--target is 'cron': give one of kubernetes"),
        (JOB, ["--target", "kubernets"], "did you mean kubernetes?"),
        (JOB, ["--cron", "0 2 * *"], "has 4 fields"),
        (JOB, ["--name", "Nightly"], "--name is 'Nightly'"),
        (JOB, ["--target", "systemd", "--image", "x"], "--image has no effect with --target systemd"),
        (JOB, ["--target", "slurm", "--address", "x"], "--address has no effect with --target slurm"),
        (JOB.replace("REGION", "REGIO"), [], "names ${REGIO}, which is not set; did you mean REGION?"),
        (JOB.replace("s3://photos", "photos"), [], "a relative path, which does not work under a scheduler"),
        ('input = "s3://photos"\n', ["--var", ""], "give NAME=VALUE"),
        ('output = "s3://${REGION}"\n', [], "input in "),
        (JOB + "worker = 1\n", [], "did you mean workers?"),
        (JOB + "workers = 0\n", [], "greater than or equal to 1"),
        (JOB + "password = 'a'\n", [], "looks like a secret by its name"),
        (JOB + "overwrite = true\n", [], "overwrite is on"),
        (JOB + "device = 'cuda'\n", ["--target", "slurm"], "requests no GPU; give --gpus"),
        (JOB + "device = 'cuda'\n", ["--target", "rayjob", "--gpus", "0"], "give --gpus"),
        (JOB + "model = 'vit_h'\n", ["--target", "kubernetes"], "give --weights-claim"),
        (JOB + "model = 'vit_h'\n", ["--target", "rayjob"], "'vit_h', whose weights no pod has"),
        (JOB, ["--target", "rayjob", "--weights-claim", "My_Claim"], "--weights-claim is 'My_Claim'"),
        (JOB, ["--weights-claim", "w"], "--weights-claim has no effect with --target systemd"),
        (JOB, ["--deadline", "1"], "--deadline has no effect with --target systemd"),
        (JOB, ["--target", "rayjob", "--deadline", "0"], "--deadline"),
        (
            JOB.replace("s3://masks", "/masks"),
            ["--target", "kubernetes"],
            "output is '/masks/eu', on the pod's own disk",
        ),
        (JOB.replace("s3://photos", "file:///p"), ["--target", "rayjob"], "input is 'file:///p/"),
        (JOB + "checkpoint = '/sam.pth'\n", ["--target", "rayjob"], "checkpoint is '/sam.pth', on a disk"),
        (
            JOB + "checkpoint = '/weights/../etc/sam.pth'\n",
            ["--target", "rayjob", "--weights-claim", "w"],
            "checkpoint is '/weights/../etc/sam.pth', on a disk",
        ),
        (
            JOB + "checkpoint = 'https://host/sam.pth'\n",
            ["--target", "rayjob", "--weights-claim", "w"],
            "cannot be downloaded into the claim",
        ),
        (JOB, ["--target", "airflow", "--address", "http://u:hunter2@head:8265"], "http://***head:8265 is"),
        (JOB, ["--target", "airflow", "--address", "ray://head:10001"], "is not the address of a job server"),
    ],
)
def test_what_cannot_be_scheduled_is_one_sentence(
    capsys: pytest.CaptureFixture[str], job: Path, text: str, options: list[str], sentence: str
) -> None:
    job.write_text(text)
    always = {"--cron": "0 2 * * *", "--target": "systemd"}
    others = [word for name, value in always.items() if name not in options for word in (name, value)]
    code, out, err = schedule(capsys, job, *others, *WITH_REGION, *options)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert "hunter2" not in err


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("checkpoint = '/weights/sam.pth'", ("--weights-claim", "our.weights-2")),
        ("checkpoint = '/weights/new/../sam.pth'", ("--weights-claim", "w")),
        ("checkpoint = 'https://host/sam.pth'", ()),
        ("model = 'vit_t'", ()),
        ("device = 'cuda'", ("--gpus", "1")),
    ],
)
def test_what_a_pod_can_have_is_scheduled(
    capsys: pytest.CaptureFixture[str], job: Path, text: str, options: tuple[str, ...]
) -> None:
    job.write_text(f"{text}\n{JOB}")
    for target in ("kubernetes", "rayjob"):
        code, _, err = schedule(capsys, job, "--cron", "@daily", "--target", target, *WITH_REGION, *options)
        assert (code, err) == (0, "")


@pytest.mark.parametrize(
    "name",
    [
        "a2345678901234567890123456789.toml",  # 29 letters
        *(
            "фото.toml",
            "фото-east.toml",
            "$$.toml",
            "a_b.toml",
            "A-b.toml",
            "a--b.toml",
            "-a.toml",
            "a-.toml",
        ),
        *("my job.v2.toml", "my-job.v2.toml", "a.tml", "a"),
    ],
)
def test_a_file_whose_name_makes_no_name_of_its_own_needs_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    file.write_text(JOB)
    words = ("--cron", "@daily", "--target", "slurm", *WITH_REGION)
    code, _, err = schedule(capsys, file, *words)
    assert (code, err.count("\n"), "; give --name" in err) == (2, 1, True)
    assert schedule(capsys, file, *words, "--name", "nightly")[0] == 0


@pytest.mark.parametrize("stem", ["a", "2", "my-job-v2", "a234567890123456789012345678"])
def test_other_files_name_their_schedule(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stem: str
) -> None:
    file = tmp_path / f"{stem}.toml"
    file.write_text(JOB)
    code, out, err = schedule(capsys, file, "--cron", "@daily", "--target", "slurm", *WITH_REGION)
    assert (code, err, f"#SBATCH --job-name=sam-label-{stem}\n" in out) == (0, "", True)


def test_a_preset_or_no_file_is_not_scheduled(capsys: pytest.CaptureFixture[str]) -> None:
    for name, sentence in (("quick", "is a preset"), ("nope.toml", "no job file nope.toml")):
        code, _, err = schedule(capsys, name, "--cron", "@daily", "--target", "slurm")
        assert (code, sentence in err) == (2, True)
