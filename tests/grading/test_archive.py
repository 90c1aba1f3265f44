"""Submissions in folders and archives: nothing is unpacked, followed or believed."""

import io
import os
import tarfile
import zipfile

import pytest

from garm_course.grading.archive import find, student_of


def zipped(file, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file


def test_a_zip_is_read_where_it_is(tmp_path):
    file = zipped(tmp_path / "all.zip", {"ada/a.ipynb": b"A", "ada/notes.pdf": b"", "__MACOSX/ada/._a.ipynb": b"x"})
    (found,) = find(file)
    assert (found.student, found.file, found.read(10)) == ("ada", "ada/a.ipynb", b"A")
    assert os.listdir(tmp_path) == ["all.zip"]


@pytest.mark.parametrize("name", ["../../evil.ipynb", "/etc/evil.ipynb", "..\\evil.ipynb", "a/../../evil.ipynb"])
def test_a_name_that_leads_out_of_the_folder_is_a_label_only(tmp_path, name):
    (tmp_path / "inner").mkdir()
    (found,) = find(zipped(tmp_path / "inner" / "all.zip", {name: b"A"}))
    assert ".." not in found.file
    assert not found.file.startswith("/")
    assert found.read(10) == b"A"
    assert os.listdir(tmp_path) == ["inner"]


def test_links_are_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tmp_path / "subs").mkdir()
    (tmp_path / "subs" / "link.ipynb").symlink_to(secret)
    link = zipfile.ZipInfo("b/zip.ipynb")
    link.external_attr = 0o120777 << 16
    zipped(tmp_path / "subs" / "b.zip", {link: str(secret)})
    with tarfile.open(tmp_path / "subs" / "c.tar.gz", "w:gz") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"c/{kind.decode()}.ipynb")
            member.type, member.linkname = kind, str(secret)
            archive.addfile(member)
    found = find(tmp_path / "subs")
    assert len(found) == 5
    assert {one.problem for one in found} == {"the file is a link: it is not followed"}


def test_of_a_bomb_no_more_is_read_than_a_notebook_may_have(tmp_path):
    (one,) = find(zipped(tmp_path / "bomb.zip", {"a.ipynb": bytes(50_000_000)}))
    assert len(one.read(1000)) == 1001
    with tarfile.open(tmp_path / "bomb.tgz", "w:gz") as archive:
        member = tarfile.TarInfo("a.ipynb")
        member.size = 20_000_000
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    (one,) = find(tmp_path / "bomb.tgz")
    assert len(one.read(1000)) == 1001


def test_an_archive_that_is_none_is_one_file_that_cannot_be_read(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"no archive")
    (tmp_path / "b.tar.gz").write_bytes(b"\x1f\x8bno archive")
    zipped(tmp_path / "c.zip", {"c/1.ipynb": b"A" * 1000})
    whole = (tmp_path / "c.zip").read_bytes()
    (tmp_path / "c.zip").write_bytes(whole[:39] + b"\xff" * 4 + whole[43:])
    a, b, c = find(tmp_path)
    assert "cannot be read" in a.problem
    assert "cannot be read" in b.problem
    with pytest.raises(ValueError, match="the file cannot be read"):
        c.read(2000)


def test_the_newest_file_of_a_student_comes_last(tmp_path):
    for number in ("", "-2", "-10", "-9"):
        (tmp_path / f"adaada_7_8_hw{number}.ipynb").write_text("{}")
    assert [one.file[13:-6] for one in find(tmp_path)] == ["", "-2", "-9", "-10"]
    assert {one.student for one in find(tmp_path)} == {"adaada (7)"}


def test_checkpoints_of_jupyter_are_no_submissions(tmp_path):
    (tmp_path / "ada" / ".ipynb_checkpoints").mkdir(parents=True)
    for file in ("ada/a.ipynb", "ada/.ipynb_checkpoints/a-checkpoint.ipynb"):
        (tmp_path / file).write_text("{}")
    assert [one.file for one in find(tmp_path)] == ["ada/a.ipynb"]


@pytest.mark.parametrize(
    ("place", "student"),
    [
        ("O'Hara, Zoë_12_assignsubmission_file_/04.ipynb", "O'Hara, Zoë (12)"),
        ("hara_LATE_12_999_04_pixelcnn.ipynb", "hara (12)"),
        ("submitted/zoe/hw1/04.ipynb", "zoe"),
        ("zoe.zip/04.ipynb", "zoe"),
        ("zoe/deep/04.ipynb", "zoe"),
        ("04_pixelcnn.ipynb", "04_pixelcnn"),
    ],
)
def test_whose_file_it_is(place, student):
    assert student_of(place) == student


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(ValueError, match="holds no notebook"):
        find(tmp_path)
    with pytest.raises(ValueError, match="does not exist"):
        find(tmp_path / "none")
