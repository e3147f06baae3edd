"""jobs/: one for each device, and what they say can be done."""
import pytest
from nibble import ROOT, run_json

JOBS = sorted((ROOT / "jobs").glob("*.yaml"))


def test_each_device_has_a_job():
    assert [j.name for j in JOBS] == sorted(d.name for d in (ROOT / "devices").glob("*.yaml"))


@pytest.mark.parametrize("job", JOBS, ids=lambda j: j.stem)
def test_a_job_is_a_plan(job, tmp_path):
    steps = [s["step"] for s in run_json("make", job, "-o", tmp_path / "out", "--dry-run", "--untimed")]
    assert steps[:2] == ["quantize", "eval"] and steps[2].startswith("export ") and steps[-1] == "report"
    assert not (tmp_path / "out").exists()


# The one that needs most: ranges of activations, two exports. All of them: jobs/README.md.
@pytest.mark.parametrize("name", ["hexagon"])
def test_a_job_passes(name, tmp_path):
    seen = run_json("make", ROOT / "jobs" / f"{name}.yaml", "-o", tmp_path / "out", timeout=300)
    assert seen["passed"] and len([g for s in seen["steps"] for g in s["gates"]]) == 2
