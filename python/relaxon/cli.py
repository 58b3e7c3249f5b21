"""The command line: ``relaxon fit`` and ``relaxon info``."""

# No `from __future__ import annotations`: typer reads the annotations of functions made inside
# _make_app, where the names in them are local.

import os
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer import Typer

    from .experiment import Options, Result

__all__ = ["main"]

PROGRAM = "relaxon"
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
# Figures, summary and history; the model comes on top.
REPORT_BYTES = 4 * 2**20


class _Failure(Exception):
    """Ends the program with one line on stderr."""

    def __init__(self, message: str, code: int = EXIT_BAD_INPUT) -> None:
        super().__init__(message)
        self.code = code


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Default: those of the process.

    Returns
    -------
    int
        Exit code: 0, 1 (training or writing failed), 2 (bad input) or 130 (interrupted).
    """
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except _Failure as failure:
        print(f"{PROGRAM}: {' '.join(str(failure).split())}", file=sys.stderr)
        return failure.code
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left; the flush at exit would fail like this print did.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(arguments: list[str]) -> int:
    try:
        import matplotlib  # noqa: F401
        import rich  # noqa: F401
        import typer
    except ModuleNotFoundError as error:
        raise _Failure(
            f"the command line needs {error.name}; install it with: pip install 'relaxon[cli]'"
        ) from None
    command = typer.main.get_command(_make_app())
    try:
        job = command.main(arguments or ["--help"], prog_name=PROGRAM, standalone_mode=False)
    except Exception as error:
        # Usage errors are click's; some versions of typer bring their own copy of click.
        show = getattr(error, "format_message", None)
        if show is None:
            raise
        raise _Failure(f"{show()} (see '{PROGRAM} --help')") from None
    # After --help there is nothing left to do and an exit code takes the job's place.
    return job() if callable(job) else int(job or 0)


def _make_app() -> "Typer":
    """The grammar of the command line.

    Commands return their job and do not do it: typer has its own ideas about Ctrl-C.
    """
    import typer
    from typer import Option

    from .experiment import LOCAL_PATIENCE, LOCAL_SMOOTHNESS, Options

    app = typer.Typer(
        help="Relaxation networks: train them, and read their weights as physics.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )

    @app.command("fit")
    def fit_command(
        data: Annotated[
            str,
            typer.Argument(
                metavar="DATA",
                help="What to fit: 'sst', the sea-surface temperature shipped with relaxon.",
            ),
        ],
        out: Annotated[
            Path,
            Option(help="Folder for model, summary, history and figures; made if missing."),
        ],
        operator: Annotated[str, Option(help="adr or dense.")] = Options.operator,
        space: Annotated[str, Option(help="homogeneous or local coefficients.")] = Options.space,
        time: Annotated[
            str, Option(help="constant: one set of coefficients; layered: one per layer.")
        ] = Options.time,
        scheme: Annotated[str, Option(help="central, upwind or lax-wendroff.")] = Options.scheme,
        depth: Annotated[int, Option(help="Number of layers.")] = Options.depth,
        omega: Annotated[float, Option(help="Relaxation rate.")] = Options.omega,
        activation: Annotated[
            str, Option(help="identity, tanh, logistic, relu, ...")
        ] = Options.activation,
        bias: Annotated[
            str | None, Option(help="homogeneous or local. [default: no bias]")
        ] = Options.bias,
        boundary: Annotated[
            str,
            Option(
                help="Conditions along latitude and longitude: periodic, neumann, a number "
                "(Dirichlet), or low:high."
            ),
        ] = Options.boundary,
        mask_boundary: Annotated[
            str, Option(help="What land shows to the sea: neumann (no flux) or a number.")
        ] = Options.mask_boundary,
        beta: Annotated[float, Option(help="Strength of the soft normalisation.")] = Options.beta,
        trainable_omega: Annotated[
            bool, Option("--trainable-omega", help="Train the relaxation rate, too.")
        ] = Options.trainable_omega,
        optimizer: Annotated[
            str,
            Option(
                help="Steepest descent with the step length of: barzilai-borwein, armijo, or "
                "fixed-rate."
            ),
        ] = Options.optimizer,
        rate: Annotated[float, Option(help="First (or fixed) step length.")] = Options.rate,
        steps: Annotated[int, Option(help="Largest number of descent steps.")] = Options.steps,
        patience: Annotated[
            int | None,
            Option(
                help="Stop after so many steps without a better validation loss; 0: never, and "
                f"train on all training months. [default: {LOCAL_PATIENCE} with --space local, "
                "else 0]"
            ),
        ] = Options.patience,
        validation: Annotated[
            float, Option(help="Share of the training months that --patience watches.")
        ] = Options.validation,
        smoothness: Annotated[
            float | None,
            Option(
                help="Strength of the smoothness penalty. "
                f"[default: {LOCAL_SMOOTHNESS:g} with --space local, else 0]"
            ),
        ] = Options.smoothness,
        lead: Annotated[int, Option(help="Months ahead.")] = Options.lead,
        memory: Annotated[
            str | None, Option(help="Memory for a gradient, as '512 MiB'. [default: no limit]")
        ] = Options.memory,
        threads: Annotated[
            int | None, Option(help="Number of threads. [default: all allowed]")
        ] = Options.threads,
        dtype: Annotated[str, Option(help="float64 or float32.")] = Options.dtype,
        seed: Annotated[int, Option(help="Seed of the initial values.")] = Options.seed,
    ) -> Callable[[], int]:
        """Train a model, compare it with persistence on held-out months, and read its physics."""
        options = Options(
            operator=operator,
            space=space,
            time=time,
            scheme=scheme,
            depth=depth,
            omega=omega,
            activation=activation,
            bias=bias,
            boundary=boundary,
            mask_boundary=mask_boundary,
            beta=beta,
            trainable_omega=trainable_omega,
            optimizer=optimizer,
            rate=rate,
            steps=steps,
            patience=patience,
            validation=validation,
            smoothness=smoothness,
            lead=lead,
            memory=memory,
            threads=threads,
            dtype=dtype,
            seed=seed,
        )
        return lambda: _fit(data, out, options)

    @app.command("info")
    def info_command() -> Callable[[], int]:
        """Show version, compiler, ISA level, threads and the optional packages found."""
        return _info

    return app


def _info() -> int:
    from ._config import show_config

    show_config()
    return 0


def _fit(name: str, out: Path, options: "Options") -> int:
    from .datasets import sst
    from .experiment import Experiment
    from .fit import DivergenceError, Status
    from .report import write_report

    if name != "sst":
        raise _Failure(f"argument 'DATA': expected 'sst', got {name!r}")
    data = sst()
    with _bad_input():
        experiment = Experiment(options, data)
    parameter_bytes = sum(value.nbytes for value in experiment.model.params.values())
    with _folder(out, REPORT_BYTES + data.temperature[:12].nbytes + parameter_bytes):
        print(
            f"{len(experiment.split.training[0])} pairs of months to train on, "
            f"{len(experiment.split.held_out[0])} held out, {int(data.mask.sum())} cells of sea",
            flush=True,
        )
        try:
            with _bad_input():
                result = experiment.run(progress=sys.stderr.isatty())
        except DivergenceError as error:
            raise _Failure(str(error), code=1) from None
        try:
            written = write_report(out, experiment, result)
        except OSError as error:
            raise _Failure(f"cannot write to {out}: {error}", code=1) from None
    # After writing: whoever reads the output may have left.
    _print_result(result)
    print(f"\nwritten to {out}: {', '.join(path.name for path in written)}")
    if result.fit.status is Status.INTERRUPTED:
        print(f"{PROGRAM}: interrupted, the best model so far was kept", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


@contextmanager
def _bad_input() -> "Iterator[None]":
    try:
        yield
    except (TypeError, ValueError) as error:
        raise _Failure(str(error)) from error


@contextmanager
def _folder(out: Path, n_bytes: int) -> "Iterator[None]":
    """Make the folder and find out now, not after training, whether the report fits into it.

    Folders made here go again if nothing came to stand in them.
    """
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    probe = out / f".{PROGRAM}-{os.getpid()}.probe"
    try:
        try:
            out.mkdir(parents=True, exist_ok=True)
            try:
                with open(probe, "xb") as file:
                    file.write(bytes(n_bytes))
                    file.flush()
                    os.fsync(file.fileno())
            finally:
                probe.unlink(missing_ok=True)
        except OSError as error:
            reason = error.strerror or str(error)
            raise _Failure(
                f"argument '--out': expected a folder with room for {n_bytes / 1e6:.0f} MB, "
                f"got {out}: {reason}"
            ) from None
        yield
    finally:
        for folder in missing:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _print_result(result: "Result") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from .report import physics_of

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for title in ("parameters", "dense W", "training", "held out", "seconds"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in result.rows:
        table.add_row(
            row.name,
            f"{row.parameters:,}",
            f"{row.dense_parameters:,}" if row.name == "model" else "",
            f"{row.training_error:.4f}",
            f"{row.held_out_error:.4f}",
            f"{row.seconds:.2f}",
        )
    # Where nothing is shown the width is rich's guess, and lines would be cut to it.
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(table)
    print("training, held out: mean squared error over sea, in units of the variance of y")
    fitted = result.fit
    print(f"fit: {fitted.message} ({len(fitted.history.loss)} steps)")
    print("\n" + _physics_text(physics_of(result.explanation)))


def _physics_text(physics: dict[str, Any]) -> str:
    if "velocity" not in physics:
        return f"learned physics: {physics['note']}"
    directions = {"latitude": ("southward", "northward"), "longitude": ("westward", "eastward")}
    velocity = physics["velocity"]
    entries = [
        (f"drift along {axis}", f"{v:+.4f} {velocity['unit']} ({directions[axis][v > 0.0]})")
        for axis, v in zip(velocity["axes"], velocity["value"], strict=True)
    ]
    for key in ("diffusivity", "numerical_diffusivity"):
        if key in physics:
            entry, label = physics[key], key.replace("_", " ")
            named = list(zip(entry["axes"], entry["value"], strict=True))
            entries += [(f"{label} along {axis}", f"{v:.0f} {entry['unit']}") for axis, v in named]
            entries += [
                (f"{label}, mixed", f"{v:.0f} {entry['unit']}") for v in entry.get("mixed", ())
            ]
    rate = physics["rate"]["value"]
    entries.append(("damping" if rate < 0.0 else "growth", f"{abs(rate):.3f} per month"))
    width = max(len(label) for label, _ in entries)
    return "\n".join(
        ["learned physics:", *(f"  {label:<{width}}  {text}" for label, text in entries)]
    )
