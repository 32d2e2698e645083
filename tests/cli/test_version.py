"""What `imagebatch --version` says."""

from click.testing import CliRunner

from imagebatch_cli.main import cli
from imagebatch_jobrunner.decoder.jpeg import requantiser


def test_the_version_tells_what_compresses_jpegs() -> None:
    told = CliRunner().invoke(cli, ["--version"])
    assert told.exit_code == 0
    assert told.output.startswith("ImageBatch 0.")
    assert told.output.endswith(f"JPEG by {requantiser.about()}\n")
