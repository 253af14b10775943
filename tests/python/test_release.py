"""A release has one version, and says what each of its files is made of."""

import hashlib
import json
from pathlib import Path

import pytest

from release.__main__ import check_versions, main, write_provenance
from support import ROOT
from support.errors import UserError
from support.node import find_node

pytestmark = pytest.mark.quick


def project(
    place: Path, package: str = "1.2.3", lock: str = "1.2.3", python: str = "1.2.3"
) -> Path:
    (place / "package.json").write_text(json.dumps({"version": package}), "utf-8")
    (place / "package-lock.json").write_text(json.dumps({"version": lock}), "utf-8")
    (place / "pyproject.toml").write_text(f'[project]\nversion = "{python}"\n', "utf-8")
    (place / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [1.2.3] - 2026-11-28\n", "utf-8")
    return place


def test_equal_versions_with_a_section_of_the_changelog_pass(tmp_path: Path) -> None:
    assert check_versions(project(tmp_path)) == "1.2.3"


@pytest.mark.parametrize("other", ["package", "lock", "python"])
def test_versions_that_differ_are_refused(tmp_path: Path, other: str) -> None:
    with pytest.raises(UserError, match="expected the same one"):
        check_versions(project(tmp_path, **{other: "1.2.4"}))


def test_the_changelog_must_have_the_version_unless_it_is_a_trial(tmp_path: Path) -> None:
    place = project(tmp_path, "1.2.4", "1.2.4", "1.2.4")
    with pytest.raises(UserError, match=r"no section `## \[1.2.4\] - YYYY-MM-DD`"):
        check_versions(place)
    assert check_versions(place, is_trial=True) == "1.2.4"


def test_the_project_has_one_version() -> None:
    assert check_versions(ROOT, is_trial=True)


def test_provenance_has_the_hash_of_each_file(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(b"a")
    write_provenance(tmp_path, "1.2.3", "abc", (find_node(),))
    document = json.loads((tmp_path / "provenance.json").read_text("utf-8"))
    assert document["commit"] == "abc"
    sha256 = hashlib.sha256(b"a").hexdigest()
    assert document["files"] == {"a.tgz": {"sha256": sha256, "bytes": 1}}
    assert document["tools"]["node"].startswith("v")


def test_a_directory_with_other_files_is_refused_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine", "utf-8")
    assert main(["--try", "--out", str(tmp_path)]) == 2
    assert "has other files than those of a release" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text("utf-8") == "mine"
