from __future__ import annotations

import os
from pathlib import Path

import pytest

from internvl_native._core import CheckpointError, MappedFile


def test_reads_what_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "data"
    content = bytes(range(256)) * 64
    path.write_bytes(content)
    file = MappedFile(path)
    assert (file.path, file.size, len(file)) == (str(path), len(content), len(content))
    assert file.read(0, file.size) == content
    assert file.read(100, 7) == content[100:107]
    assert file.read(file.size, 0) == b""


@pytest.mark.parametrize(("offset", "size"), [(0, 11), (11, 0), (5, 6), (2**63, 1), (1, 2**64 - 1)])
def test_ranges_outside_the_file_are_refused(tmp_path: Path, offset: int, size: int) -> None:
    (tmp_path / "data").write_bytes(b"0123456789")
    file = MappedFile(tmp_path / "data")
    with pytest.raises(ValueError, match="expected a range inside the file's 10 bytes"):
        file.read(offset, size)
    with pytest.raises(ValueError, match="expected a range inside the file's 10 bytes"):
        file.release(offset, size)


def test_released_pages_leave_memory_and_come_back(tmp_path: Path) -> None:
    content = os.urandom(1 << 16) * 256  # 16 MiB
    (tmp_path / "data").write_bytes(content)
    file = MappedFile(tmp_path / "data")
    assert file.read(0, file.size) == content
    mapped = resident_file_pages()
    file.release(0, file.size)
    assert mapped - resident_file_pages() > 12 << 20
    file.release(5000, 1)
    assert file.read(4096, 8192) == content[4096:12288]


def resident_file_pages() -> int:
    """Bytes of mapped files in memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssFile"):
            return int(line.split()[1]) * 1024
    pytest.skip("this kernel does not tell RssFile")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    file = MappedFile(tmp_path / "empty")
    assert file.size == 0
    assert file.read(0, 0) == b""
    file.release(0, 0)


def test_what_cannot_be_mapped(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot open the file: No such file"):
        MappedFile(tmp_path / "missing")
    with pytest.raises(CheckpointError, match="expected a regular file"):
        MappedFile(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="expected a regular file"):
        MappedFile(tmp_path / "pipe")


def test_paths_that_are_not_utf8(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff"
    with open(path, "wb") as file:
        file.write(b"abc")
    assert os.fsencode(MappedFile(os.fsdecode(path)).path) == path
    with pytest.raises(CheckpointError) as missing:
        MappedFile(os.fsdecode(path + b"2"))
    assert os.fsencode(str(missing.value)).startswith(path)
