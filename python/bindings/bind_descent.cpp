#include <algorithm>

#include "bind.hpp"
#include "bound_network.hpp"
#include "descent_state.hpp"
#include "interrupt.hpp"
#include "parse_name.hpp"
#include "penalty_list.hpp"
#include "relaxon/training/descent.hpp"

namespace relaxon::python {

namespace {

const char* name_of(DescentStatus status) {
    switch (status) {
    case DescentStatus::running:
        return "running";
    case DescentStatus::converged:
        return "converged";
    case DescentStatus::steps:
        return "steps";
    case DescentStatus::patience:
        return "patience";
    case DescentStatus::diverged:
        return "diverged";
    }
    throw py::value_error("unknown status");
}

// Of the arrays R, U and D of a network: kind, scheme, least and largest omega, and factors of it.
std::shared_ptr<const Constraint> read_constraint(const BoundNetwork& network,
                                                  const py::object& entries) {
    const auto parts =
        entries.cast<std::tuple<std::string, std::string, py::array, py::array, double, double>>();
    const auto& [kind, scheme, low, high, bound_factor, scheme_factor] = parts;
    auto constraint = std::make_shared<Constraint>();
    constraint->kind = parse_name<ConstraintKind>(
        kind, {{"monotone", ConstraintKind::monotone}, {"stable", ConstraintKind::stable}});
    constraint->scheme = parse_scheme(scheme);
    constraint->ndim = network.config.grid->ndim();
    constraint->n_sets = network.config.n_sets();
    constraint->n_cells = network.config.op->is_local() ? network.n_cells() : 1;
    std::int64_t offset = 0;
    int n_found = 0;
    for (const ParameterArray& array : network.arrays) {
        for (const auto& [name, place] : {std::pair{"R", &constraint->reaction},
                                          {"U", &constraint->velocity},
                                          {"D", &constraint->diffusion}}) {
            if (array.name == name) *place = offset, ++n_found;
        }
        offset += array.size();
    }
    if (n_found != 3) throw py::value_error("constraint: no arrays R, U and D");
    const std::int64_t n = constraint->n_sets * constraint->n_cells;
    const double* lowest = read_view<double>(low, n, "low");
    const double* highest = read_view<double>(high, n, "high");
    constraint->low.assign(lowest, lowest + n);
    constraint->high.assign(highest, highest + n);
    constraint->bound_factor = bound_factor;
    constraint->scheme_factor = scheme_factor;
    return constraint;
}

// A running descent and the arrays that it reads.
template <class T>
class BoundDescent {
public:
    BoundDescent(const BoundNetwork& network, const ArrayList& start, const py::object& bounds,
                 const py::object& constraint, const py::array& x, const py::object& input_errors,
                 const Loss& loss, const py::array& y, const py::object& weights,
                 const std::vector<std::int64_t>& at, const py::object& validation,
                 const std::vector<PyPenalty>& penalties, std::int64_t batch_size,
                 std::uint64_t seed, std::int64_t memory, int threads, bool wants_omega,
                 bool allows_unsolved, const DescentOptions& options)
        : network_(network), threads_(threads), options_(options) {
        held_ = py::make_tuple(x, input_errors, y, weights, validation);
        const std::int64_t input_size = network.config.input_size();
        const auto n_at = static_cast<std::int64_t>(at.size());
        DescentProblem<T> problem;
        ObjectiveProblem<T>& objective = problem.objective;
        objective.config = network.config;
        objective.request.kind = SweepKind::gradient;
        objective.request.batch = batch_of(network, x);
        objective.request.n_threads = threads;
        objective.request.memory_bytes = memory;
        objective.request.at = at;
        objective.request.wants_omega = wants_omega;
        objective.request.allows_unsolved = allows_unsolved;
        objective.x = read_view<T>(x, objective.request.batch * input_size, "x");
        objective.target =
            read_target<T>(network, loss, y, weights, objective.request.batch * n_at);
        if (!input_errors.is_none()) {
            read_input_errors(input_errors, objective);
        }
        objective.penalties = read_penalties(penalties);
        objective.batch_size = batch_size;
        objective.seed = seed;
        problem.start = read_parameters<T>(network, start);
        if (!bounds.is_none()) {
            const auto pairs = bounds.cast<std::pair<ArrayList, ArrayList>>();
            const Parameters<T> low = read_parameters<T>(network, pairs.first);
            const Parameters<T> high = read_parameters<T>(network, pairs.second);
            for (std::size_t i = 0; i < low.size(); ++i) {
                problem.bounds.emplace_back(low[i], high[i]);
            }
        }
        if (!constraint.is_none()) problem.constraint = read_constraint(network, constraint);
        if (!validation.is_none()) {
            const auto parts = validation.cast<std::tuple<py::array, py::array, py::object>>();
            const auto& [x_validation, y_validation, w_validation] = parts;
            problem.n_validation = batch_of(network, x_validation);
            problem.x_validation =
                read_view<T>(x_validation, problem.n_validation * input_size, "validation");
            problem.target_validation = read_target<T>(network, loss, y_validation, w_validation,
                                                       problem.n_validation * n_at);
        }
        descent_ = std::make_unique<Descent<T>>(problem, options);
    }

    std::string advance(std::int64_t max_steps, double seconds) {
        return name_of(run_released(
            threads_, [&](Team& team) { return descent_->advance(max_steps, seconds, team); }));
    }

    std::string judge() {
        return name_of(run_released(threads_, [&](Team& team) { return descent_->judge(team); }));
    }

    double evaluate(const py::array& point, const py::array& gradient) {
        const double* from = read_view<double>(point, descent_->size(), "point");
        double* to = write_view<double>(gradient, descent_->size(), "gradient");
        return run_released(threads_,
                            [&](Team& team) { return descent_->evaluate(from, to, team); });
    }

    void accept() { descent_->accept(); }

    std::pair<double, double> trial_value() const {
        const ObjectiveValue& value = descent_->trial_value();
        return {value.loss, value.penalty};
    }
    double validation_loss() const { return descent_->validation_loss(); }
    void replay(const py::array& point, const py::array& gradient, double loss, double penalty) {
        descent_->replay(read_view<double>(point, descent_->size(), "point"),
                         read_view<T>(gradient, descent_->size(), "gradient"), {loss, penalty});
    }
    void replay_validation(double loss) { descent_->replay_validation(loss); }

    // The arrays by name, and beside them "counts" and "numbers".
    py::dict state() const {
        py::dict found;
        for (const StateArray<T>& array : descent_->state_arrays()) {
            found[array.name] = py::array_t<T>(descent_->size(), array.values);
        }
        write_progress(descent_->progress(), found);
        return found;
    }

    void resume(const py::dict& state) {
        descent_->resume(read_progress(state, options_));
        // Which arrays there are depends on the progress.
        for (const StateArray<T>& array : descent_->state_arrays()) {
            const T* from = read_view<T>(state[array.name], descent_->size(), array.name);
            std::copy(from, from + descent_->size(), array.values);
        }
    }

    py::array_t<double> records() const {
        const std::vector<StepRecord>& records = descent_->records();
        py::array_t<double> table({records.size(), std::size_t{5}});
        double* entry = table.mutable_data();
        for (const StepRecord& record : records) {
            *entry++ = record.loss;
            *entry++ = record.penalty;
            *entry++ = record.validation_loss;
            *entry++ = record.gradient_norm;
            *entry++ = record.rate;
        }
        return table;
    }

    std::int64_t step() const { return descent_->step(); }
    void copy_parameters(const std::vector<py::object>& arrays) const {
        descent_->copy_parameters(write_parameters<T>(network_, arrays));
    }
    void copy_best(const std::vector<py::object>& arrays) const {
        descent_->copy_best(write_parameters<T>(network_, arrays));
    }
    void copy_previous(const std::vector<py::object>& arrays) const {
        descent_->copy_previous(write_parameters<T>(network_, arrays));
    }

    // The inputs that belong to the present parameters, or to the best ones.
    void copy_inputs(const py::array& x, bool is_best) const {
        descent_->copy_inputs(write_view<T>(x, descent_->n_inputs(), "x"), is_best);
    }

private:
    static void read_input_errors(const py::object& entries, ObjectiveProblem<T>& objective) {
        const auto parts =
            entries.cast<std::tuple<py::array, double, py::array, py::array, py::array>>();
        const auto& [spread, strength, gaps, neighbours, factors] = parts;
        InputErrors<T>& errors = objective.input_errors;
        const std::int64_t n = objective.request.batch * objective.config.input_size();
        errors.spread = read_view<T>(spread, n, "spread");
        errors.strength = strength;
        errors.n_gaps = static_cast<std::int64_t>(gaps.size());
        errors.n_neighbours = errors.n_gaps ? static_cast<std::int64_t>(neighbours.shape(1)) : 0;
        const std::int64_t n_links = errors.n_gaps * errors.n_neighbours;
        errors.gaps = read_view<std::int64_t>(gaps, errors.n_gaps, "gaps");
        errors.neighbours = read_view<std::int64_t>(neighbours, n_links, "neighbours");
        errors.factors = read_view<T>(factors, n_links, "factors");
        const auto is_input = [n](std::int64_t i) { return i >= 0 && i < n; };
        const bool is_sound = std::all_of(errors.gaps, errors.gaps + errors.n_gaps, is_input) &&
                              std::all_of(errors.neighbours, errors.neighbours + n_links,
                                          [&](std::int64_t i) { return i == -1 || is_input(i); });
        if (!is_sound) throw py::value_error("input_errors: an index outside x");
    }

    BoundNetwork network_;
    py::object held_;
    int threads_;
    DescentOptions options_;
    std::unique_ptr<Descent<T>> descent_;
};

DescentOptions make_options(const std::string& rule, const std::vector<double>& rates,
                            const py::array& factors, double momentum, double beta_1, double beta_2,
                            double epsilon, double tolerance, std::int64_t n_steps,
                            std::int64_t patience) {
    DescentOptions options;
    if (!parse(rule, options.rule)) throw py::value_error("unknown name " + rule);
    options.rates = rates;
    const auto n_factors = static_cast<std::int64_t>(factors.size());
    const double* factor = read_view<double>(factors, n_factors, "factors");
    options.factors.assign(factor, factor + n_factors);
    options.settings = {momentum, {beta_1, beta_2, epsilon}};
    options.tolerance = tolerance;
    options.n_steps = n_steps;
    options.patience = patience;
    return options;
}

template <class T>
void bind_one(py::module_& module, const char* name) {
    using Bound = BoundDescent<T>;
    py::class_<Bound>(module, name)
        .def(py::init<const BoundNetwork&, const ArrayList&, const py::object&, const py::object&,
                      const py::array&, const py::object&, const Loss&, const py::array&,
                      const py::object&, const std::vector<std::int64_t>&, const py::object&,
                      const std::vector<PyPenalty>&, std::int64_t, std::uint64_t, std::int64_t, int,
                      bool, bool, const DescentOptions&>(),
             py::arg("network"), py::arg("start"), py::arg("bounds"), py::arg("constraint"),
             py::arg("x"), py::arg("input_errors"), py::arg("loss"), py::arg("y"),
             py::arg("weights"), py::arg("at"), py::arg("validation"), py::arg("penalties"),
             py::arg("batch_size"), py::arg("seed"), py::arg("memory"), py::arg("threads"),
             py::arg("wants_omega"), py::arg("allows_unsolved"), py::arg("options"))
        .def("advance", &Bound::advance, py::arg("max_steps"), py::arg("seconds"))
        .def("judge", &Bound::judge)
        .def("evaluate", &Bound::evaluate, py::arg("point"), py::arg("gradient"))
        .def("accept", &Bound::accept)
        .def_property_readonly("trial_value", &Bound::trial_value)
        .def_property_readonly("validation_loss", &Bound::validation_loss)
        .def("replay", &Bound::replay, py::arg("point"), py::arg("gradient"), py::arg("loss"),
             py::arg("penalty"))
        .def("replay_validation", &Bound::replay_validation, py::arg("loss"))
        .def("state", &Bound::state)
        .def("resume", &Bound::resume, py::arg("state"))
        .def("records", &Bound::records)
        .def_property_readonly("step", &Bound::step)
        .def("copy_parameters", &Bound::copy_parameters, py::arg("arrays"))
        .def("copy_best", &Bound::copy_best, py::arg("arrays"))
        .def("copy_previous", &Bound::copy_previous, py::arg("arrays"))
        .def("copy_inputs", &Bound::copy_inputs, py::arg("x"), py::arg("is_best"));
}

}  // namespace

void bind_descent(py::module_& module) {
    py::class_<DescentOptions>(module, "DescentOptions")
        .def(py::init(&make_options), py::arg("rule"), py::arg("rates"), py::arg("factors"),
             py::arg("momentum"), py::arg("beta_1"), py::arg("beta_2"), py::arg("epsilon"),
             py::arg("tolerance"), py::arg("n_steps"), py::arg("patience"));
    bind_one<float>(module, "DescentFloat32");
    bind_one<double>(module, "DescentFloat64");
}

}  // namespace relaxon::python
