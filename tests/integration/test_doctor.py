"""freshet doctor beside a server."""

from pathlib import Path

from tests.processes import run, serving


def test_the_port_of_the_folders_own_server_is_no_problem(tmp_path: Path) -> None:
    """Healthy beside its server; a problem for another folder, whose server could not start."""
    with serving(tmp_path / "data") as (_, url):
        port = url.rpartition(":")[2]
        own = run(["doctor", "--data", str(tmp_path / "data"), "--port", port], tmp_path)
        assert own.returncode == 0, own.stdout
        assert f"{port} is taken by the server of" in own.stdout
        other = run(["doctor", "--data", str(tmp_path / "other"), "--port", port], tmp_path)
        assert other.returncode == 1
        assert f"cannot listen on 127.0.0.1:{port}" in other.stdout
    assert not (tmp_path / "data" / "url").exists()
