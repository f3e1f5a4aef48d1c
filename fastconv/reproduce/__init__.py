"""Studies, reproduced: one module each; data, settings, tables, figures, and what the original reported."""

import importlib
import os

from fastconv.errors import DataError, FastconvError, RangeError
from fastconv.reproduce import report

STUDIES = {
    "surnames": "the surname ConvNet: gradients checked, trained with and without compensation, timed",
    "linear-softmax": "one layer and a softmax on CIFAR-10: four penalties and rates, and the templates learnt",
    "cyclical-mlp": "two layers on CIFAR-10 at a cyclical rate: the cost recorded in three ways, a search for lambda",
    "circles": "one hidden layer on two circles and on digits: decision regions, learning rates, batch sizes",
    "cifar-convnet": "the ConvNet for CIFAR-10: what preprocessing, augmentation, decay, dropout and others add",
    "imbalanced-cifar": "CIFAR-10 with rare classes: cross-entropy and class-balanced focal loss, beta up to 0.9999",
}
"""What each study is, by its name."""


def study(name):
    """Return the class of a study.

    Raises
    ------
    RangeError
        If there is none of this name; the known ones are named.

    Examples
    --------
    >>> from fastconv.reproduce import study
    >>> study("surnames").TITLE
    'Surnames and their languages: a small ConvNet, reproduced'
    """
    if name not in STUDIES:
        raise RangeError(f"reproduce: unknown study {name!r}; known: {', '.join(STUDIES)}, and all")
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}").STUDY


def run(
    name, data=None, out=None, quick=False, threads=None, seed=0, epochs=None, progress=None, force=False, echo=print
):
    """Reproduce a study and write its report.

    Parameters
    ----------
    name : str
        One of :data:`STUDIES`.
    data : str or path-like, optional
        The folder with the original's data, or one that holds it under its usual name (``surnames``, ``cifar10``,
        ``mnist``); by default what comes with the package.
    out : str or path-like, optional
        The report's folder; by default the study's name and ``-report`` in the current one.
    quick : bool
        The same path with few updates: to try it, not to measure.
    threads : int, optional
        By default all that are allowed; only the seconds depend on it.
    seed : int
        Of all random numbers.
    epochs : int, optional
        Of each training, in the studies that it scales; by default the original's.
    progress : bool, optional
        Show progress bars; by default if the standard error stream is a terminal.
    force : bool
        Write into a folder that is not empty.
    echo : callable
        Is given the printed output, a block at a time.

    Returns
    -------
    dict
        What ``results.json`` holds: ``study``, ``complete``, ``settings``, ``machine``, ``original``, ``seconds``,
        ``figures``, ``comparison`` (rows of what, original, here), ``original_data`` (on what data the original's
        figures were found), ``interrupted_in`` if it was, and what each part found.

    Raises
    ------
    RangeError
        If there is no such study, or it takes no number of epochs.
    DataError
        If the data are missing or malformed, or the report's folder is not empty; nothing is computed then.
    KeyboardInterrupt
        On Ctrl-C, after what is done so far has been written.
    """
    from fastconv.reproduce.base import Options

    kind = study(name)
    out = f"{name}-report" if out is None else os.fspath(out)
    report.check_folder(out, force)
    check_data(data)
    return kind(data, Options(quick, threads, seed, epochs, progress, echo)).run(out)


def run_all(data=None, out=None, epochs=None, force=False, echo=print, **options):
    """Reproduce all studies, each into a folder of its own, and write a page that leads to the reports.

    A study that fails does not keep the others from being run.

    Parameters
    ----------
    data : str or path-like, optional
        A folder with the folders ``surnames``, ``cifar10`` and ``mnist``. Data that it does not have are replaced by
        what comes with the package, and that is said.
    out : str or path-like, optional
        By default ``reports`` in the current folder.
    epochs : int, optional
        For the studies that it scales.
    force, echo, options
        As in :func:`run`.

    Returns
    -------
    dict
        By study, what :func:`run` returned.

    Raises
    ------
    DataError
        If the data are not a folder, or the reports' folder is not empty; nothing is computed then. If studies failed,
        after the others have been run; they are named.
    KeyboardInterrupt
        On Ctrl-C, after the reports that are done and the page have been written.
    """
    out = "reports" if out is None else os.fspath(out)
    report.check_folder(out, force)
    check_data(data)
    kinds = {name: study(name) for name in STUDIES}
    folders = {name: None if data is None else os.path.join(data, kind.DATA) for name, kind in kinds.items()}
    for name, folder in folders.items():
        if folder and not os.path.isdir(folder):
            echo(f"{name}: {folder} is not there; what comes with the package stands in for it")
            folders[name] = None
    found, failed = {}, {}
    try:
        for number, (name, kind) in enumerate(kinds.items(), 1):
            echo(f"\n== {number} of {len(kinds)}: {name}, {STUDIES[name]}\n")
            settings = options | ({"epochs": epochs} if kind.EPOCHS else {})
            try:
                found[name] = run(name, folders[name], os.path.join(out, name), force=force, echo=echo, **settings)
            except (FastconvError, OSError) as error:
                failed[name] = str(error)
                echo(f"{name} failed: {error}")
    finally:
        report.write_index(out, {name: kind.TITLE for name, kind in kinds.items()}, failed)
        echo(f"Reports: {os.path.join(out, report.INDEX)}")
    if failed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise DataError(f"reproduce: {len(failed)} of {len(kinds)} studies failed: {reasons}")
    return found


def check_data(folder):
    """Raise an error unless what the user names as data is a folder, or nothing is named."""
    if folder is not None and not os.path.isdir(folder):
        state = "a file" if os.path.exists(folder) else "not there"
        raise DataError(f"{os.fspath(folder)}: {state}, expected a folder with the original's data")
