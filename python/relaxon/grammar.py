"""The grammar of the command line: its commands and options, and what its help says of them."""

# No `from __future__ import annotations`: typer reads the annotations of functions made inside
# make_app, where the names in them are local.

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated

from . import commands
from .forecasting.settings import (
    ACTIVATION_NAMES,
    ANOMALY_NAMES,
    BIAS_NAMES,
    CONDITION_NAMES,
    CONSTRAINT_NAMES,
    DATA_DEFAULTS,
    DEFAULTS,
    DEPTH_NAMES,
    DIFFUSION_NAMES,
    DTYPE_NAMES,
    INPUT_NAMES,
    LOCAL_PATIENCE,
    LOCAL_SMOOTHNESS,
    NORMALIZATION_NAMES,
    ON_THE_FLY_NAMES,
    OPERATOR_NAMES,
    OPTIMIZER_NAMES,
    SCHEME_NAMES,
    SPACE_NAMES,
    TIME_NAMES,
    WEIGHTS,
    Settings,
)

if TYPE_CHECKING:
    from typer import Typer

__all__ = ["make_app"]


# What choices of an option mean, where their names do not say it.
_MEANINGS = {
    "anomaly": {
        "mean": "one for each cell",
        "none": "one for all cells",
    },
    "time": {"constant": "one set of coefficients", "layered": "one per layer"},
    "diffusion": {"full": "along the axes and mixed", "diagonal": "along the axes alone"},
    "normalization": {"hard": "every layer ends with z / |z|"},
    "constraint": {"monotone": "no new extrema", "stable": "no wave grows"},
    "inputs": {
        "drop": "targets near a gap do not count",
        "given": "gaps are refused",
        "fill": "gaps are unknowns",
        "estimate": "all inputs are unknowns",
    },
    "depth": {
        "auto": "as many of --max-depth as are needed",
        "attractor": "what all layers lead to, with --drive",
    },
    "weights": {"area": "losses and errors count cells by their area on the sphere"},
}


def _choices(names: tuple[str, ...], option: str = "") -> str:
    """Names of a table, and in brackets what they mean."""
    meanings = _MEANINGS.get(option, {})
    texts = [f"{name} ({meanings[name]})" if name in meanings else name for name in names]
    return " or ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _whole_number(option: str, text: str) -> int:
    """What an option says that is a number or a word."""
    try:
        return int(text)
    except ValueError:
        from typer import BadParameter

        raise BadParameter(f"{text!r} is no whole number.", param_hint=f"'{option}'") from None


def make_app() -> "Typer":
    """The grammar of the command line.

    Commands return their job and do not do it: typer has its own ideas about Ctrl-C.

    Returns
    -------
    typer.Typer
        Commands that return a function without parameters, which returns an exit code.
    """
    import typer
    from typer import Option

    def default(name: str) -> str:
        # None is what typer sees: whether an option was given is for Options to know.
        own = (f"; {v[name]} for {data}" for data, v in DATA_DEFAULTS.items() if name in v)
        return f"[default: {DEFAULTS[name]}{''.join(own)}]"

    missing_option = Option(
        help="A value that stands for gaps, as -999; once for each. [default: those that the "
        "file declares]"
    )
    select_option = Option(
        metavar="NAME=VALUE",
        help="One entry of an axis that is neither time nor space, or a part of space, as "
        "level=850; once for each axis.",
    )
    model_argument = Annotated[str, typer.Argument(metavar="MODEL", help="A model file.")]
    # Of what a saved model is applied to.
    forecast_argument = Annotated[
        list[str],
        typer.Argument(
            metavar="DATA", help="As for fit; of a .npz file x (and time, if any) is read."
        ),
    ]
    variable_option = Annotated[
        str | None, Option(help="Variable of the file. [default: that of the fit]")
    ]
    same_select_option = Annotated[
        list[str] | None,
        Option(
            metavar="NAME=VALUE",
            help="One entry of an axis, as for fit. [default: as in the fit]",
        ),
    ]
    more_missing_option = Annotated[
        list[float] | None,
        Option(help="A value that stands for gaps, beside those of the fit; once for each."),
    ]
    app = typer.Typer(
        help="Relaxation networks: train them, and read their weights as physics.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )

    @app.command("fit")
    def fit_command(
        data: Annotated[
            list[str],
            typer.Argument(
                metavar="DATA",
                help="What to fit: 'sst', the sea-surface temperature shipped with relaxon; a .npz "
                "file with arrays x and y (and weights); or files that xarray opens, several or a "
                "pattern such as 'data_*.nc', joined along time.",
            ),
        ],
        out: Annotated[
            str,
            Option(help="Folder for model, summary, history and figures; made if missing."),
        ],
        variable: Annotated[
            str | None, Option(help="Variable of the file. [default: the only one]")
        ] = Settings.variable,
        select: Annotated[list[str] | None, select_option] = None,
        missing: Annotated[list[float] | None, missing_option] = None,
        lead: Annotated[
            int | None, Option(help=f"Steps of time ahead. {default('lead')}")
        ] = Settings.lead,
        anomaly: Annotated[
            str | None,
            Option(
                help=f"Climatology to remove: {_choices(ANOMALY_NAMES, 'anomaly')}. "
                "[default: month for sst, mean where it holds most of the variance, else none]"
            ),
        ] = Settings.anomaly,
        spacing: Annotated[
            str | None,
            Option(
                help="Of the cells of a .npz file: one length for all axes, or one for each, "
                "separated by commas, with units as in '5 km'. [default: lattice units]"
            ),
        ] = Settings.spacing,
        time_step: Annotated[
            str | None,
            Option(help="From x to y of a .npz file, with its unit, as in '3 h'. [default: 1]"),
        ] = Settings.time_step,
        holdout: Annotated[
            float, Option(help="Share of the times, the last ones, kept for testing.")
        ] = Settings.holdout,
        weights: Annotated[
            str | None,
            Option(help=f"{_choices(WEIGHTS, 'weights')}. [default: all alike]"),
        ] = Settings.weights,
        operator: Annotated[
            str,
            Option(
                help=f"{_choices(OPERATOR_NAMES)}. "
                "Stencils wider than one cell in one dimension only."
            ),
        ] = Settings.operator,
        order: Annotated[
            int | None, Option(help=f"Highest moment of --operator moments. {default('order')}")
        ] = Settings.order,
        radius: Annotated[
            int | None, Option(help=f"Radius of a free stencil. {default('radius')}")
        ] = Settings.radius,
        space: Annotated[
            str | None,
            Option(
                help=f"{_choices(SPACE_NAMES)} coefficients; not with dense. {default('space')}"
            ),
        ] = Settings.space,
        time: Annotated[str, Option(help=f"{_choices(TIME_NAMES, 'time')}.")] = Settings.time,
        scheme: Annotated[
            str | None,
            Option(help=f"Of --operator adr: {_choices(SCHEME_NAMES)}. {default('scheme')}"),
        ] = Settings.scheme,
        diffusion: Annotated[
            str | None,
            Option(
                help=f"Of --operator adr: {_choices(DIFFUSION_NAMES, 'diffusion')}. "
                f"{default('diffusion')}"
            ),
        ] = Settings.diffusion,
        depth: Annotated[
            str | None,
            Option(
                metavar=f"INTEGER|{'|'.join(DEPTH_NAMES)}",
                help=f"Number of layers; or {_choices(DEPTH_NAMES, 'depth')}. {default('depth')}",
            ),
        ] = None,
        max_depth: Annotated[
            int | None, Option(help=f"Most layers of --depth auto. {default('max_depth')}")
        ] = Settings.max_depth,
        omega: Annotated[
            float | None, Option(help=f"Relaxation rate of a layer. {default('omega')}")
        ] = Settings.omega,
        gamma: Annotated[
            float | None,
            Option(
                help="Relaxation rate in the unit of printed rates, such as 1/month, in the place "
                "of --omega: omega = 1 - exp(-gamma dt), dt the lead over the number of layers."
            ),
        ] = Settings.gamma,
        activation: Annotated[
            str, Option(help=f"{_choices(ACTIVATION_NAMES)}.")
        ] = Settings.activation,
        bias: Annotated[
            str | None, Option(help=f"{_choices(BIAS_NAMES)}. [default: no bias]")
        ] = Settings.bias,
        boundary: Annotated[
            str | None,
            Option(
                help="Conditions, one per axis of space, separated by commas: "
                f"{', '.join(CONDITION_NAMES)}, a number (a fixed value in the unit of the data, "
                "with --anomaly none), or low:high. "
                "[default: periodic along a longitude that goes all the way round, else neumann]"
            ),
        ] = Settings.boundary,
        mask_boundary: Annotated[
            str | None,
            Option(
                help="What masked cells show to the others: neumann (no flux) or a number, as for "
                "--boundary. "
                f"{default('mask_boundary')}"
            ),
        ] = Settings.mask_boundary,
        beta: Annotated[float, Option(help="Strength of the soft normalisation.")] = Settings.beta,
        theta: Annotated[
            float | None,
            Option(
                help="Implicit layers: weight of a layer's end in what moves it, 0.5 or 1 for "
                f"layers that no bound limits. 0: explicit ones. {default('theta')}"
            ),
        ] = Settings.theta,
        drive: Annotated[
            bool,
            Option(
                "--drive",
                help="The input is a source in every layer, and the first state is zero: for pairs "
                "of a source and what it leads to.",
            ),
        ] = Settings.drive,
        normalization: Annotated[
            str | None,
            Option(help=f"{_choices(NORMALIZATION_NAMES, 'normalization')}. [default: none]"),
        ] = Settings.normalization,
        trainable_omega: Annotated[
            bool, Option("--trainable-omega", help="Train the relaxation rate, too.")
        ] = Settings.trainable_omega,
        bounds: Annotated[
            list[str] | None,
            Option(
                help="Bounds of coefficients in their printed units, as 'D>=0', "
                "'U[longitude]<=0.1' or '-0.5<=R<=0'; repeated, or separated by commas. D is its "
                "diagonal, the rate R negative for damping. [default: none]"
            ),
        ] = None,
        constraint: Annotated[
            str | None,
            Option(
                help="What explicit layers of --operator adr keep at every step: "
                f"{_choices(CONSTRAINT_NAMES, 'constraint')}. [default: nothing]"
            ),
        ] = Settings.constraint,
        on_the_fly: Annotated[
            str | None,
            Option(
                help=f"{_choices(ON_THE_FLY_NAMES)}: train layer after layer, each to lower the "
                "loss of its own output, in one pass without back-propagation; the layers have "
                "coefficients of their own. [default: all layers together]"
            ),
        ] = Settings.on_the_fly,
        optimizer: Annotated[
            str | None,
            Option(
                help=f"{_choices(OPTIMIZER_NAMES)}. "
                "[default: lbfgs for sst and with --inputs fill or estimate, else barzilai-borwein]"
            ),
        ] = Settings.optimizer,
        rate: Annotated[
            float | None,
            Option(help=f"First (or fixed) step length; lbfgs has none. {default('rate')}"),
        ] = Settings.rate,
        steps: Annotated[int, Option(help="Largest number of descent steps.")] = Settings.steps,
        patience: Annotated[
            int | None,
            Option(
                help="Stop after so many steps without a better validation loss; 0: never, and "
                f"train on all training times. [default: {LOCAL_PATIENCE} with --space local, "
                "else 0]"
            ),
        ] = Settings.patience,
        validation: Annotated[
            float | None,
            Option(
                help=f"Share of the training times that --patience watches. {default('validation')}"
            ),
        ] = Settings.validation,
        smoothness: Annotated[
            float | None,
            Option(
                help="Strength of the smoothness penalty. "
                f"[default: {LOCAL_SMOOTHNESS:g} with --space local, else 0]"
            ),
        ] = Settings.smoothness,
        check_leads: Annotated[
            str | None,
            Option(
                help="Leads, as in 1,3,5: the same fit at each, depth in proportion; coefficients "
                "that move with the lead are marked."
            ),
        ] = Settings.check_leads,
        check_depth: Annotated[
            bool,
            Option(
                "--check-depth",
                help="The same fit with twice the layers and half of omega; coefficients that move "
                "are marked.",
            ),
        ] = Settings.check_depth,
        memory: Annotated[
            str | None, Option(help="Memory for a gradient, as '512 MiB'. [default: no limit]")
        ] = Settings.memory,
        threads: Annotated[
            int | None, Option(help="Number of threads. [default: all allowed]")
        ] = Settings.threads,
        dtype: Annotated[str, Option(help=f"{_choices(DTYPE_NAMES)}.")] = Settings.dtype,
        seed: Annotated[int, Option(help="Seed of the initial values.")] = Settings.seed,
        inputs: Annotated[
            str,
            Option(help=f"Gaps and errors of the inputs: {_choices(INPUT_NAMES, 'inputs')}."),
        ] = Settings.inputs,
        input_error: Annotated[
            float | None,
            Option(
                help="Standard deviation of the errors of the inputs, in the unit of the data; "
                "--inputs estimate needs it."
            ),
        ] = Settings.input_error,
        target_error: Annotated[
            float | None,
            Option(
                help="Standard deviation of the targets' errors and of what the equation leaves "
                "out, in the unit of the data, with --inputs fill or estimate. [default: from the "
                "residuals]"
            ),
        ] = Settings.target_error,
        resume: Annotated[
            bool,
            Option(
                "--resume",
                help="Continue what a run that was interrupted or killed has left in the folder, "
                "training or report; with nothing there, begin.",
            ),
        ] = False,
        restart: Annotated[
            bool, Option("--restart", help="Discard what such a run has left, and begin anew.")
        ] = False,
    ) -> Callable[[], int]:
        """Train a model, compare it with persistence on held-out times, and read its physics."""
        given = {
            **locals(),
            "select": tuple(select or ()),
            "missing": tuple(missing or ()),
            "bounds": ",".join(bounds) if bounds else None,
            "depth": depth
            if depth is None or depth in DEPTH_NAMES
            else _whole_number("--depth", depth),
        }
        settings = {field.name: given[field.name] for field in fields(Settings)}

        def job() -> int:
            from .forecasting.options import Options

            folder = commands.output_path(out)
            return commands.fit(tuple(data), folder, Options(**settings), resume, restart)

        return job

    @app.command("inspect")
    def inspect_command(
        data: Annotated[list[str], typer.Argument(metavar="DATA", help="As for fit.")],
        variable: Annotated[
            str | None, Option(help="Variable of the file. [default: the first field of it]")
        ] = None,
        select: Annotated[list[str] | None, select_option] = None,
        missing: Annotated[list[float] | None, missing_option] = None,
    ) -> Callable[[], int]:
        """Show what fit would take from data, what it would refuse, and options for it."""
        return lambda: commands.inspect(
            tuple(data), variable, tuple(select or ()), tuple(missing or ())
        )

    @app.command("predict")
    def predict_command(
        model: model_argument,
        data: forecast_argument,
        out: Annotated[
            str,
            Option(help="File for the forecast: .npz (array y) or .nc."),
        ],
        variable: variable_option = None,
        select: same_select_option = None,
        missing: more_missing_option = None,
    ) -> Callable[[], int]:
        """Apply a model to data; scaling and climatology of the fit are undone and redone."""
        return lambda: commands.predict(
            model,
            tuple(data),
            commands.output_path(out),
            variable,
            tuple(select or ()),
            tuple(missing or ()),
        )

    @app.command("attractor")
    def attractor_command(
        model: model_argument,
        data: forecast_argument,
        out: Annotated[
            str,
            Option(help="File for the attractors: .npz (array y) or .nc, as of predict."),
        ],
        variable: variable_option = None,
        select: same_select_option = None,
        missing: more_missing_option = None,
    ) -> Callable[[], int]:
        """Find where a model's layers lead from data, and say how sure that is."""
        return lambda: commands.attractor(
            model,
            tuple(data),
            commands.output_path(out),
            variable,
            tuple(select or ()),
            tuple(missing or ()),
        )

    @app.command("explain")
    def explain_command(
        model: model_argument,
        out: Annotated[
            str | None,
            Option(help="Folder for explanation.csv and explanation.png; made if missing."),
        ] = None,
    ) -> Callable[[], int]:
        """Read the physics of a saved model: coefficients in their units, stability, maps."""
        return lambda: commands.explain(model, None if out is None else commands.output_path(out))

    @app.command("stability")
    def stability_command(
        model: model_argument,
        out: Annotated[
            str | None, Option(help="Folder for stability.png; made if missing.")
        ] = None,
    ) -> Callable[[], int]:
        """Show how stable a model's layers are: bounds, waves, and what is certified."""
        return lambda: commands.stability(model, None if out is None else commands.output_path(out))

    @app.command("info")
    def info_command() -> Callable[[], int]:
        """Show version, compiler, ISA level, threads and the optional packages found."""
        return commands.info

    return app
