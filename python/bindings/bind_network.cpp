#include <optional>
#include <string>
#include <utility>

#include "bind.hpp"
#include "bound_network.hpp"
#include "interrupt.hpp"
#include "parse_name.hpp"
#include "relaxon/sweeps/gamma.hpp"
#include "relaxon/sweeps/make_sweep.hpp"

namespace relaxon::python {

namespace {

template <class T>
const T* read_input(const BoundNetwork& network, const py::array& x) {
    return read_view<T>(x, batch_of(network, x) * network.config.input_size(), "x");
}

BoundNetwork make_network(std::shared_ptr<Grid> grid, std::shared_ptr<Operator> op,
                          const Dynamics& dynamics, const std::string& activation,
                          const std::string& bias, const EndConfig& lift, const EndConfig& readout,
                          double gamma_dt, bool is_double) {
    BoundNetwork network;
    NetworkConfig& config = network.config;
    config.grid = std::move(grid);
    config.op = std::move(op);
    config.dynamics = dynamics;
    if (!parse(activation, config.activation)) throw py::value_error("activation " + activation);
    config.bias = parse_name<BiasKind>(bias, {{"none", BiasKind::none},
                                              {"homogeneous", BiasKind::homogeneous},
                                              {"local", BiasKind::local}});
    config.lift = lift;
    config.readout = readout;
    config.gamma_dt = gamma_dt;
    network.is_double = is_double;
    network.arrays = parameter_arrays(config);
    return network;
}

OmegaKind parse_omega(const std::string& kind) {
    return parse_name<OmegaKind>(
        kind,
        {{"scalar", OmegaKind::scalar}, {"layer", OmegaKind::layer}, {"cell", OmegaKind::cell}});
}

Normalization parse_normalization(const std::string& kind) {
    return parse_name<Normalization>(
        kind, {{"none", Normalization::none}, {"hard", Normalization::hard}});
}

Explicit make_explicit(std::int64_t depth, const std::string& omega, double beta, bool drive,
                       const std::string& normalization) {
    return {depth, parse_omega(omega), beta, drive, parse_normalization(normalization)};
}

Theta make_theta(std::int64_t depth, const std::string& omega, double beta, double theta,
                 bool drive, const std::string& normalization) {
    return {depth, parse_omega(omega), beta, theta, drive, parse_normalization(normalization)};
}

Attractor make_attractor(const std::string& omega, bool drive, const std::string& method,
                         double tolerance, std::int64_t max_iterations) {
    Attractor attractor;
    attractor.omega = parse_omega(omega);
    attractor.drive = drive;
    attractor.search.method =
        parse_name<AttractorMethod>(method, {{"auto", AttractorMethod::automatic},
                                             {"newton", AttractorMethod::newton},
                                             {"anderson", AttractorMethod::anderson},
                                             {"relaxation", AttractorMethod::relaxation}});
    attractor.search.tolerance = tolerance;
    attractor.search.max_iterations = max_iterations;
    return attractor;
}

EndConfig make_end(std::int64_t width, const std::string& activation) {
    EndConfig end;
    end.width = width;
    if (!parse(activation, end.activation)) throw py::value_error("activation " + activation);
    return end;
}

Loss make_loss(const std::string& kind, double scale) {
    Loss loss;
    if (!parse(kind, loss.kind)) throw py::value_error("unknown name " + kind);
    loss.scale = scale;
    return loss;
}

// Layers up to `end`, all of them where it is negative.
void sweep_until(std::int64_t end, const BoundNetwork& network, SweepRequest& request) {
    request.end = end;
    request.at = {end < 0 ? network.config.depth() : end};
}

// What a pass left unsolved, in words.
template <class T>
std::optional<std::string> unsolved(const Sweep<T>& sweep) {
    if (const auto found = sweep.unsolved()) return found->what();
    return std::nullopt;
}

std::optional<std::string> forward(const BoundNetwork& network, const ArrayList& parameters,
                                   const py::array& x, const py::array& out, bool all_layers,
                                   std::int64_t end, int threads) {
    return network.with_scalar([&](auto scalar) {
        using T = decltype(scalar);
        SweepRequest request;
        request.batch = batch_of(network, x);
        request.n_threads = threads;
        sweep_until(end, network, request);
        const auto views = read_parameters<T>(network, parameters);
        const T* x_view = read_input<T>(network, x);
        const std::int64_t size =
            all_layers ? (request.at[0] + 1) * network.n_cells() : network.config.output_size();
        T* out_view = write_view<T>(out, request.batch * size, "out");
        return run_released(threads, [&](Team& team) {
            const auto sweep = make_sweep<T>(network.config, request);
            sweep->forward(views, x_view, out_view, all_layers, team);
            return unsolved(*sweep);
        });
    });
}

// Samples that leave early, and after how many layers.
void settle(const BoundNetwork& network, const ArrayList& parameters, const py::array& x,
            const py::array& out, double tolerance, const py::array& n_layers, int threads) {
    network.with_scalar([&](auto scalar) {
        using T = decltype(scalar);
        SweepRequest request;
        request.batch = batch_of(network, x);
        request.n_threads = threads;
        request.at = {network.config.depth()};
        const auto views = read_parameters<T>(network, parameters);
        const T* x_view = read_input<T>(network, x);
        T* out_view = write_view<T>(out, request.batch * network.config.output_size(), "out");
        auto* n_view = write_view<std::int64_t>(n_layers, request.batch, "n_layers");
        run_released(threads, [&](Team& team) {
            make_sweep<T>(network.config, request)
                ->settle(views, x_view, out_view, tolerance, n_view, team);
        });
    });
}

std::pair<double, std::optional<std::string>>
loss(const BoundNetwork& network, const ArrayList& parameters, const py::array& x,
     const Loss& distance, const py::array& y, const py::object& weights,
     const std::vector<std::int64_t>& at, int threads) {
    return network.with_scalar([&](auto scalar) {
        using T = decltype(scalar);
        SweepRequest request;
        request.batch = batch_of(network, x);
        request.n_threads = threads;
        request.at = at;
        const auto views = read_parameters<T>(network, parameters);
        const T* x_view = read_input<T>(network, x);
        const auto target = read_target<T>(network, distance, y, weights,
                                           request.batch * static_cast<std::int64_t>(at.size()));
        return run_released(threads, [&](Team& team) {
            const auto sweep = make_sweep<T>(network.config, request);
            const double value = sweep->loss(views, x_view, target, team);
            return std::make_pair(value, unsolved(*sweep));
        });
    });
}

template <class T>
Gradients<T> write_gradients(const BoundNetwork& network, const std::vector<py::object>& list,
                             const py::object& x_bar, std::int64_t batch) {
    return {write_parameters<T>(network, list),
            write_view_or_null<T>(x_bar, batch * network.config.input_size(), "x_bar")};
}

SweepRequest gradient_request(std::int64_t batch, int threads, std::int64_t memory,
                              const std::vector<std::int64_t>& at, bool wants_omega,
                              bool wants_input, bool allows_unsolved) {
    SweepRequest request;
    request.kind = SweepKind::gradient;
    request.batch = batch;
    request.n_threads = threads;
    request.memory_bytes = memory;
    request.at = at;
    request.wants_omega = wants_omega;
    request.wants_input = wants_input;
    request.allows_unsolved = allows_unsolved;
    return request;
}

py::tuple value_and_gradient(const BoundNetwork& network, const ArrayList& parameters,
                             const py::array& x, const Loss& distance, const py::array& y,
                             const py::object& weights, const std::vector<std::int64_t>& at,
                             const std::vector<py::object>& gradients, const py::object& x_bar,
                             std::int64_t memory, bool allows_unsolved, int threads) {
    const std::int64_t batch = batch_of(network, x);
    const SweepRequest request = gradient_request(
        batch, threads, memory, at, !gradients.back().is_none(), !x_bar.is_none(), allows_unsolved);
    return network.with_scalar([&](auto scalar) {
        using T = decltype(scalar);
        const auto views = read_parameters<T>(network, parameters);
        const T* x_view = read_input<T>(network, x);
        const auto target = read_target<T>(network, distance, y, weights,
                                           batch * static_cast<std::int64_t>(at.size()));
        const auto bars = write_gradients<T>(network, gradients, x_bar, batch);
        Evaluations counts;
        const double value = run_released(threads, [&](Team& team) {
            const auto sweep = make_sweep<T>(network.config, request);
            const double result = sweep->value_and_gradient(views, x_view, target, bars, team);
            counts = sweep->evaluations();
            return result;
        });
        return py::make_tuple(value, counts);
    });
}

void vjp(const BoundNetwork& network, const ArrayList& parameters, const py::array& x,
         const py::array& y_bar, const std::vector<py::object>& gradients, const py::object& x_bar,
         std::int64_t memory, std::int64_t end, bool allows_unsolved, int threads) {
    const std::int64_t batch = batch_of(network, x);
    SweepRequest request = gradient_request(batch, threads, memory, {}, !gradients.back().is_none(),
                                            !x_bar.is_none(), allows_unsolved);
    sweep_until(end, network, request);
    network.with_scalar([&](auto scalar) {
        using T = decltype(scalar);
        const auto views = read_parameters<T>(network, parameters);
        const T* x_view = read_input<T>(network, x);
        const T* y_view = read_view<T>(y_bar, batch * network.config.output_size(), "y_bar");
        const auto bars = write_gradients<T>(network, gradients, x_bar, batch);
        run_released(threads, [&](Team& team) {
            make_sweep<T>(network.config, request)->vjp(views, x_view, y_view, bars, team);
        });
    });
}

void jvp(const BoundNetwork& network, const ArrayList& parameters, const ArrayList& parameters_dot,
         const py::array& x, const py::object& x_dot, const py::array& y_dot, std::int64_t end,
         bool allows_unsolved, int threads) {
    network.with_scalar([&](auto scalar) {
        using T = decltype(scalar);
        SweepRequest request;
        request.kind = SweepKind::tangent;
        request.allows_unsolved = allows_unsolved;
        request.batch = batch_of(network, x);
        request.n_threads = threads;
        sweep_until(end, network, request);
        const NetworkConfig& config = network.config;
        const auto views = read_parameters<T>(network, parameters);
        const auto views_dot = read_parameters<T>(network, parameters_dot);
        const T* x_view = read_input<T>(network, x);
        const T* x_dot_view =
            read_view_or_null<T>(x_dot, request.batch * config.input_size(), "x_dot");
        T* out = write_view<T>(y_dot, request.batch * config.output_size(), "y_dot");
        run_released(threads, [&](Team& team) {
            make_sweep<T>(network.config, request)
                ->jvp(views, views_dot, x_view, x_dot_view, out, team);
        });
    });
}

void apply(const BoundNetwork& network, const ArrayList& parameters, std::int64_t layer,
           const py::array& z, const py::array& out, int threads) {
    network.with_scalar([&](auto scalar) {
        using T = decltype(scalar);
        const std::int64_t batch = static_cast<std::int64_t>(z.size()) / network.n_cells();
        const auto views = read_parameters<T>(network, parameters);
        const T* z_view = read_view<T>(z, batch * network.n_cells(), "z");
        T* out_view = write_view<T>(out, batch * network.n_cells(), "out");
        run_released(threads, [&](Team& team) {
            apply_operator<T>(network.config, views, layer, batch, z_view, out_view, team);
        });
    });
}

// Whether W is a full matrix, and otherwise the first entry of every row and the entries' columns.
py::tuple pattern(const BoundNetwork& network) {
    const Pattern found = operator_pattern(network.config);
    std::vector<std::int64_t> row_begin, columns;
    for (std::int64_t row = 0; !found.is_full() && row <= found.n(); ++row) {
        row_begin.push_back(found.begin(row));
    }
    for (std::int64_t row = 0; !found.is_full() && row < found.n(); ++row) {
        for (std::int64_t i = found.begin(row); i < found.begin(row + 1); ++i) {
            columns.push_back(found.column(row, i));
        }
    }
    return py::make_tuple(found.is_full(), row_begin, columns);
}

void assemble(const BoundNetwork& network, const ArrayList& parameters, std::int64_t layer,
              const py::array& values, const py::array& shift, int threads) {
    network.with_scalar([&](auto scalar) {
        using T = decltype(scalar);
        const auto views = read_parameters<T>(network, parameters);
        T* values_view = write_view<T>(values, values.size(), "values");
        T* shift_view = write_view<T>(shift, network.n_cells(), "shift");
        run_released(threads, [&](Team& team) {
            assemble_operator<T>(network.config, views, layer, values_view, shift_view, team);
        });
    });
}

// Status, iterations, residual, whether that is rounding's, and method of every sample; histories;
// mu and omega_max.
py::tuple find_attractors_of(const BoundNetwork& network, const ArrayList& parameters,
                             const py::object& sources, const py::array& starts, const py::array& z,
                             const py::object& slopes, bool wants_histories, int threads) {
    const std::int64_t n_cells = network.n_cells();
    const std::int64_t batch = static_cast<std::int64_t>(starts.size()) / n_cells;
    const AttractorFindings found = network.with_scalar([&](auto scalar) {
        using T = decltype(scalar);
        const auto views = read_parameters<T>(network, parameters);
        const std::int64_t size = batch * n_cells;
        const AttractorFields<T> fields{
            read_view_or_null<T>(sources, size, "sources"), read_view<T>(starts, size, "starts"),
            write_view<T>(z, size, "z"), write_view_or_null<T>(slopes, size, "slopes")};
        return run_released(threads, [&](Team& team) {
            return find_attractors<T>(network.config, views, batch, fields, wants_histories, team);
        });
    });
    const auto column = [&](auto value) {
        using Value = decltype(value(found.results[0]));
        py::array_t<Value> values(static_cast<py::ssize_t>(found.results.size()));
        for (std::size_t i = 0; i < found.results.size(); ++i) {
            values.mutable_at(static_cast<py::ssize_t>(i)) = value(found.results[i]);
        }
        return values;
    };
    py::list histories;
    for (const std::vector<double>& history : found.histories) {
        histories.append(
            py::array_t<double>(static_cast<py::ssize_t>(history.size()), history.data()));
    }
    return py::make_tuple(
        column([](const AttractorResult& r) { return static_cast<std::int64_t>(r.status); }),
        column([](const AttractorResult& r) { return r.n_iterations; }),
        column([](const AttractorResult& r) { return r.residual; }),
        column([](const AttractorResult& r) { return r.is_at_floor; }),
        column([](const AttractorResult& r) { return static_cast<std::int64_t>(r.method); }),
        histories, found.contraction.mu, found.contraction.omega_max);
}

// omega of a network that is told gamma.
void omega(const BoundNetwork& network, const py::array& gamma, const py::array& out) {
    network.with_scalar([&](auto scalar) {
        using T = decltype(scalar);
        const std::int64_t n = network.arrays.back().size();
        const T* from = read_view<T>(gamma, n, "gamma");
        T* to = write_view<T>(out, n, "out");
        run_released(
            1, [&](Team& team) { omega_of_gamma(from, n, network.config.gamma_dt, to, team); });
    });
}

Plan plan(const BoundNetwork& network, std::int64_t batch, std::int64_t memory, int threads,
          const std::vector<std::int64_t>& at, bool wants_omega, bool wants_input) {
    const SweepRequest request =
        gradient_request(batch, threads, memory, at, wants_omega, wants_input, true);
    return network.with_scalar(
        [&](auto scalar) { return plan_sweep<decltype(scalar)>(network.config, request); });
}

Extreme find_extreme(const BoundNetwork& network, const ArrayList& parameters, const py::array& x,
                     int threads) {
    return network.with_scalar([&](auto scalar) {
        using T = decltype(scalar);
        SweepRequest request;
        request.batch = batch_of(network, x);
        request.n_threads = threads;
        request.at = {network.config.depth()};
        const auto views = read_parameters<T>(network, parameters);
        const T* x_view = read_input<T>(network, x);
        return run_released(threads, [&](Team& team) {
            return make_sweep<T>(network.config, request)->find_extreme(views, x_view, team);
        });
    });
}

}  // namespace

void bind_network(py::module_& module) {
    py::class_<Evaluations>(module, "Evaluations")
        .def_readonly("advances", &Evaluations::advances)
        .def_readonly("reversals", &Evaluations::reversals)
        .def_readonly("outputs", &Evaluations::outputs)
        .def_property_readonly("evaluations", &Evaluations::total);
    py::class_<Plan>(module, "Plan")
        .def_readonly("n_layers", &Plan::n_layers)
        .def_readonly("segment", &Plan::segment)
        .def_readonly("n_snapshots", &Plan::n_snapshots)
        .def_readonly("blocks_in_flight", &Plan::blocks_in_flight)
        .def_readonly("store_all", &Plan::store_all)
        .def_readonly("evaluations", &Plan::evaluations)
        .def_readonly("state_bytes", &Plan::state_bytes)
        .def_readonly("fixed_bytes", &Plan::fixed_bytes)
        .def_readonly("block_bytes", &Plan::block_bytes)
        .def_readonly("minimum_bytes", &Plan::minimum_bytes)
        .def_readonly("total_bytes", &Plan::total_bytes);
    py::class_<Extreme>(module, "Extreme")
        .def_readonly("is_finite", &Extreme::is_finite)
        .def_readonly("sample", &Extreme::sample)
        .def_readonly("layer", &Extreme::layer)
        .def_readonly("cell", &Extreme::cell)
        .def_readonly("magnitude", &Extreme::magnitude)
        .def_readonly("growth", &Extreme::growth);
    py::class_<Explicit>(module, "Explicit")
        .def(py::init(&make_explicit), py::arg("depth"), py::arg("omega"), py::arg("beta"),
             py::arg("drive"), py::arg("normalization"));
    py::class_<Theta>(module, "Theta")
        .def(py::init(&make_theta), py::arg("depth"), py::arg("omega"), py::arg("beta"),
             py::arg("theta"), py::arg("drive"), py::arg("normalization"));
    py::class_<Attractor>(module, "Attractor")
        .def(py::init(&make_attractor), py::arg("omega"), py::arg("drive"), py::arg("method"),
             py::arg("tolerance"), py::arg("max_iterations"));
    py::class_<EndConfig>(module, "End")
        .def(py::init(&make_end), py::arg("width"), py::arg("activation"));
    py::class_<Loss>(module, "Loss").def(py::init(&make_loss), py::arg("kind"), py::arg("scale"));
    py::class_<BoundNetwork>(module, "Network")
        .def(py::init(&make_network), py::arg("grid"), py::arg("op"), py::arg("dynamics"),
             py::arg("activation"), py::arg("bias"), py::arg("lift"), py::arg("readout"),
             py::arg("gamma_dt"), py::arg("is_double"))
        .def_readonly("arrays", &BoundNetwork::arrays)
        .def("forward", &forward, py::arg("parameters"), py::arg("x"), py::arg("out"),
             py::arg("all_layers"), py::arg("end"), py::arg("threads"))
        .def("settle", &settle, py::arg("parameters"), py::arg("x"), py::arg("out"),
             py::arg("tolerance"), py::arg("n_layers"), py::arg("threads"))
        .def("omega", &omega, py::arg("gamma"), py::arg("out"))
        .def("loss", &loss, py::arg("parameters"), py::arg("x"), py::arg("loss"), py::arg("y"),
             py::arg("weights"), py::arg("at"), py::arg("threads"))
        .def("value_and_gradient", &value_and_gradient, py::arg("parameters"), py::arg("x"),
             py::arg("loss"), py::arg("y"), py::arg("weights"), py::arg("at"), py::arg("gradients"),
             py::arg("x_bar"), py::arg("memory"), py::arg("allows_unsolved"), py::arg("threads"))
        .def("vjp", &vjp, py::arg("parameters"), py::arg("x"), py::arg("y_bar"),
             py::arg("gradients"), py::arg("x_bar"), py::arg("memory"), py::arg("end"),
             py::arg("allows_unsolved"), py::arg("threads"))
        .def("jvp", &jvp, py::arg("parameters"), py::arg("parameters_dot"), py::arg("x"),
             py::arg("x_dot"), py::arg("y_dot"), py::arg("end"), py::arg("allows_unsolved"),
             py::arg("threads"))
        .def("apply", &apply, py::arg("parameters"), py::arg("layer"), py::arg("z"), py::arg("out"),
             py::arg("threads"))
        .def("pattern", &pattern)
        .def("assemble", &assemble, py::arg("parameters"), py::arg("layer"), py::arg("values"),
             py::arg("shift"), py::arg("threads"))
        .def("find_attractors", &find_attractors_of, py::arg("parameters"), py::arg("sources"),
             py::arg("starts"), py::arg("z"), py::arg("slopes"), py::arg("wants_histories"),
             py::arg("threads"))
        .def("plan", &plan, py::arg("batch"), py::arg("memory"), py::arg("threads"), py::arg("at"),
             py::arg("wants_omega"), py::arg("wants_input"))
        .def("find_extreme", &find_extreme, py::arg("parameters"), py::arg("x"),
             py::arg("threads"));
}

}  // namespace relaxon::python
