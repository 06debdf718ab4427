"""What a course system exports: one archive or folder a student, or one archive of all."""

from __future__ import annotations

import re
import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from chat.app.i18n import gettext as _

from .python import is_foreign

_MOST = 256 << 20  # bytes that one archive may unpack to
_OTHERS = {".rar", ".7z"}
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


class ArchiveError(Exception):
    """An archive cannot be unpacked; the text is a sentence."""


def handed_in(place: Path, grades: Path) -> tuple[list[Path], dict[str, str]]:
    """Return the folders of the submissions in *place*, and what could not be unpacked, by name.

    Archives are unpacked beside themselves, unless that was done before. *place* may be an
    archive of them all. The folder of *grades* is no submission. Raises `ArchiveError` when there
    is nothing at *place*.
    """
    if place.is_file():
        place = _unpacked(place)
    if not place.is_dir():
        raise ArchiveError(_("There is no folder {path}.").format(path=place))
    troubles: dict[str, str] = {}
    for path in sorted(place.iterdir()):
        if path.is_file() and (_is_archive(path) or path.suffix.lower() in _OTHERS):
            try:
                _unpacked(path)
            except ArchiveError as error:
                troubles[_stem(path)] = str(error)
    folders = []
    for path in sorted(place.iterdir()):
        if path.is_dir() and not is_foreign(path) and path.resolve() != grades.resolve():
            try:
                folders.append(_inner(path))
            except ArchiveError as error:
                troubles[path.name] = str(error)
    return folders, troubles


def student(folder: Path, place: Path) -> str:
    """Return whose *folder* in *place* it is: Moodle adds a number and more to the name."""
    top = folder.relative_to(place).parts[0] if folder.is_relative_to(place) else folder.name
    return re.sub(r"_\d+_assignsubmission_.*$", "", top) or top


def _inner(folder: Path) -> Path:
    """Return where the files of a submission are: in *folder*, or in the one thing in it."""
    inside = [path for path in folder.iterdir() if not is_foreign(path)]
    archives = [path for path in inside if _is_archive(path)]
    others = [path for path in inside if path.suffix.lower() in _OTHERS]
    # A folder in a folder is gone into; but a package is run from the folder around it.
    package = any((one / f"__{name}__.py").exists() for one in inside for name in ("init", "main"))
    if len(inside) == 1 and inside[0].is_dir() and not package:
        return _inner(inside[0])
    if len(archives) == 1 and not any(path.suffix == ".py" for path in inside):
        return _inner(_unpacked(archives[0]))
    if others and not any(path.suffix == ".py" for path in inside):
        _unpacked(others[0])
    return folder


def _is_archive(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith((".zip", *_TARS))


def _stem(path: Path) -> str:
    name = path.name
    for ending in sorted((".zip", *_TARS, *_OTHERS), key=len, reverse=True):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return path.stem


def _unpacked(archive: Path) -> Path:
    """Unpack *archive* beside itself, into a folder of its name; return that."""
    target = archive.with_name(_stem(archive))
    if target.is_dir():
        return target
    started = archive.with_name(f".{target.name}.part")
    shutil.rmtree(started, ignore_errors=True)
    try:
        if archive.name.lower().endswith(_TARS):
            with tarfile.open(archive) as tar:
                _not_too_much(archive, sum(one.size for one in tar.getmembers()))
                _extract(tar, started)
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                _not_too_much(archive, sum(one.file_size for one in packed.infolist()))
                for one in packed.infolist():
                    if not one.flag_bits & 0x800:  # no UTF-8: Windows writes Russian names so
                        one.filename = _russian(one.filename)
                    packed.extract(one, started)
        else:
            raise ArchiveError(
                _("{file} is no archive that can be unpacked; zip and tar can.").format(
                    file=archive.name
                )
            )
        started.rename(target)
    except (OSError, zipfile.BadZipFile, tarfile.TarError, RuntimeError, EOFError) as error:
        raise ArchiveError(
            _("{file} cannot be unpacked: {reason}").format(file=archive.name, reason=error)
        ) from error
    finally:
        shutil.rmtree(started, ignore_errors=True)
    return target


def _extract(tar: tarfile.TarFile, target: Path) -> None:
    """Extract the ordinary files of *tar* to *target*, wherever their names would lead.

    As zipfile does it: without ``..`` and a root. The filters of `tarfile` do that from Python
    3.11.4 on, and Debian 12 has 3.11.2.
    """
    for one in tar.getmembers():
        if (file := tar.extractfile(one) if one.isfile() else None) is not None:
            parts = [part for part in PurePosixPath(one.name).parts if part not in ("/", "..")]
            path = target.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as output:
                shutil.copyfileobj(file, output)


def _not_too_much(archive: Path, size: int) -> None:
    if size > _MOST:
        raise ArchiveError(
            _("{file} would unpack to more than {n} MB.").format(file=archive.name, n=_MOST >> 20)
        )


def _russian(name: str) -> str:
    """Return a file's name that zipfile took for cp437, the encoding of old archives."""
    try:
        return name.encode("cp437").decode("cp866")
    except UnicodeError:
        return name
