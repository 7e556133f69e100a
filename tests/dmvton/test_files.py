import os
import threading

import pytest

from dmvton.errors import OutputError
from dmvton.files import beside, whole, write_text


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "one")
    with pytest.raises(KeyError), whole(path) as partial:
        partial.write_text("half")
        raise KeyError("in the middle")
    assert path.read_text() == "one"
    assert os.listdir(tmp_path) == ["a.json"]


def test_the_name_keeps_its_ending_and_is_hidden(tmp_path):
    name = beside(tmp_path / "bank.npz").name
    assert name.startswith(".bank.") and name.endswith(".part.npz")


def test_a_link_goes_on_pointing_at_the_file(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "real" / "file.txt")
    write_text(link, "new")
    assert link.is_symlink() and (tmp_path / "real" / "file.txt").read_text() == "new"


def test_writers_at_once_do_not_meet(tmp_path):
    """Both have written before either renames: with one name for both, one would find it gone."""
    path, ready, errors = tmp_path / "manifest.json", threading.Barrier(2), []

    def write(text):
        try:
            with whole(path) as partial:
                partial.write_text(text)
                ready.wait(10)
        except OutputError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(text,)) for text in ("a" * 9, "b" * 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and path.read_text() in ("a" * 9, "b" * 9)
    assert os.listdir(tmp_path) == ["manifest.json"]


def test_a_missing_folder_is_said_with_the_way_out(tmp_path):
    with pytest.raises(OutputError, match=r"b\.txt: cannot be written \(No such.*pass another"):
        write_text(tmp_path / "missing" / "b.txt", "x", "pass another --out")
