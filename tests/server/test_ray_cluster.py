from __future__ import annotations

import socket
from pathlib import Path

from pullback_server.ray_cluster import listens


def test_a_socket_is_listened_on_until_its_process_lets_go(tmp_path: Path):
    """The file stays behind, as it does when a process is killed; another's is not taken for it."""
    path = tmp_path / "raylet"
    assert not listens(str(path))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert listens(str(path))
        assert not listens(str(path)[:-1])
        assert not listens(path.name)
    assert path.exists()
    assert not listens(str(path))
