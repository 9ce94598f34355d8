"""Kernels for the virtual machine, chosen and unpacked from an archive made here."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DEFAULT = "linux-image-6.1.0-9-amd64"
NEWER = "linux-image-6.12.5+deb12-amd64"
VERSIONS = {DEFAULT: "6.1.0-9-amd64", NEWER: "6.12.5+deb12-amd64"}


def make_package(archive: Path, name: str, *, depends: str = "") -> str:
    """Build a package: a kernel with no module, or one that depends on a kernel.

    Returns its entry in the archive's list.
    """
    tree = archive / "tree"
    control = tree / "DEBIAN/control"
    control.parent.mkdir(parents=True)
    fields = [
        f"Package: {name}",
        "Version: 1",
        "Architecture: amd64",
        "Maintainer: Test <test@invalid>",
        "Description: for a test",
    ]
    if depends:
        fields.append(f"Depends: {depends}")
    else:
        version = VERSIONS[name]
        modules = tree / "lib/modules" / version
        modules.mkdir(parents=True)
        for listed in ("modules.order", "modules.builtin"):
            (modules / listed).touch()
    control.write_text("\n".join(fields) + "\n")
    subprocess.run(  # noqa: S603  # a fixed command
        ("/usr/bin/dpkg-deb", "--build", "-Znone", str(tree), str(archive)),
        check=True,
        capture_output=True,
    )
    shutil.rmtree(tree)
    built = archive / f"{name}_1_amd64.deb"
    digest = hashlib.sha256(built.read_bytes()).hexdigest()
    fields += [f"Filename: ./{built.name}", f"Size: {built.stat().st_size}"]
    return "\n".join((*fields, f"SHA256: {digest}", "", ""))


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A clone with the script alone, and apt with one archive: Debian 12 in little."""
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "Packages").write_text(
        make_package(archive, DEFAULT)
        + make_package(archive, NEWER)
        + make_package(archive, "linux-image-amd64", depends=f"{DEFAULT} (= 1)")
        + make_package(archive, "linux-image-6.12-amd64", depends=f"{NEWER} (= 1)")
    )
    for folder in ("lists/partial", "archives/partial", "tools/machines"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "status").touch()
    (tmp_path / "sources").write_text(f"deb [trusted=yes] file:{archive} ./\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::State "{tmp_path}"; Dir::State::status "{tmp_path}/status";\n'
        f'Dir::Cache "{tmp_path}"; Dir::Etc::SourceList "{tmp_path}/sources";\n'
        'Dir::Etc::SourceParts "/dev/null"; APT::Architecture "amd64";\n'
        'APT::Architectures { "amd64"; };\n'
    )
    shutil.copy(ROOT / "tools/machines/vm-kernel", tmp_path / "tools/machines")
    apt(tmp_path, "/usr/bin/apt-get", "-qq", "-o", "APT::Sandbox::User=", "update")
    return tmp_path


def apt(machine: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command for which apt has that archive alone."""
    return subprocess.run(  # noqa: S603  # commands of this file
        command,
        env=dict(os.environ, APT_CONFIG=str(machine / "apt.conf")),
        check=False,
        capture_output=True,
        text=True,
    )


def vm_kernel(machine: Path, *kernel: str) -> subprocess.CompletedProcess[str]:
    return apt(machine, str(machine / "tools/machines/vm-kernel"), *kernel)


@pytest.mark.parametrize(
    ("kernel", "package"),
    [
        ("", DEFAULT),
        ("6.1", DEFAULT),
        ("6.12", NEWER),
        ("linux-image-6.12-amd64", NEWER),
        (NEWER, NEWER),
    ],
)
def test_a_kernel_is_found_by_series_and_by_package(
    machine: Path, kernel: str, package: str
) -> None:
    done = vm_kernel(machine, kernel)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert folder == machine / ".cache/vm" / package
    release = (folder / "release").read_text().strip()
    assert release == VERSIONS[package]
    assert (folder / "root/lib/modules" / release / "modules.dep").exists()
    assert "fetching" in done.stderr


def test_the_second_time_needs_neither_archive_nor_apt(machine: Path) -> None:
    first = vm_kernel(machine, "6.12")
    shutil.rmtree(machine / "archive")
    shutil.rmtree(machine / "lists")
    again = vm_kernel(machine, "6.12")
    assert (again.returncode, again.stdout, again.stderr) == (0, first.stdout, "")


@pytest.mark.parametrize("kernel", ["6.9", "6.120", "linux-image-5.0-amd64"])
def test_what_apt_does_not_know_is_refused_with_what_it_knows(
    machine: Path, kernel: str
) -> None:
    done = vm_kernel(machine, kernel)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"no kernel {kernel}" in done.stderr
    assert f"{DEFAULT} by default and linux-image-6.12-amd64" in done.stderr
    assert not list((machine / ".cache/vm").glob("*.chosen"))


def test_without_lists_the_way_out_is_named(machine: Path) -> None:
    shutil.rmtree(machine / "lists")
    done = vm_kernel(machine)
    assert done.returncode == 1
    assert "run: apt-get update" in done.stderr


@pytest.mark.parametrize("kernel", ["firefox", "6", "../x", "linux-image-6.12 -o x"])
def test_what_is_no_kernel_is_refused(machine: Path, kernel: str) -> None:
    done = vm_kernel(machine, kernel)
    assert done.returncode == 1
    assert "neither a series" in done.stderr
