#include "bind.hpp"
#include "bound_network.hpp"
#include "interrupt.hpp"
#include "relaxon/descent.hpp"

namespace relaxon::python {

namespace {

// A running descent and the arrays that it reads.
template <class T>
class BoundDescent {
public:
    BoundDescent(const BoundNetwork& network, const ArrayList& start, const py::array& x,
                 const Loss& loss, const py::array& y, const py::object& weights,
                 const std::vector<std::int64_t>& at, const py::object& validation,
                 std::int64_t memory, int threads, bool wants_omega, const DescentOptions& options)
        : network_(network), threads_(threads) {
        held_ = py::make_tuple(start, x, y, weights, validation);
        DescentProblem<T> problem;
        problem.config = network.config;
        problem.request.kind = SweepKind::gradient;
        problem.request.batch = batch_of(network, x);
        problem.request.n_threads = threads;
        problem.request.memory_bytes = memory;
        problem.request.at = at;
        problem.request.wants_omega = wants_omega;
        problem.start = read_parameters<T>(network, start);
        const auto n_at = static_cast<std::int64_t>(at.size());
        problem.x = read_view<T>(x, problem.request.batch * network.config.input_size(), "x");
        problem.target = read_target<T>(network, loss, y, weights, problem.request.batch * n_at);
        if (!validation.is_none()) {
            const auto parts = validation.cast<std::tuple<py::array, py::array, py::object>>();
            const auto& [x_validation, y_validation, w_validation] = parts;
            problem.n_validation = batch_of(network, x_validation);
            problem.x_validation = read_view<T>(
                x_validation, problem.n_validation * network.config.input_size(), "validation");
            problem.target_validation = read_target<T>(network, loss, y_validation, w_validation,
                                                       problem.n_validation * n_at);
        }
        descent_ = std::make_unique<Descent<T>>(problem, options);
    }

    std::string advance(std::int64_t max_steps, double seconds) {
        const DescentStatus status = run_released(
            threads_, [&](Team& team) { return descent_->advance(max_steps, seconds, team); });
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
        return "running";
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

private:
    BoundNetwork network_;
    py::object held_;
    int threads_;
    std::unique_ptr<Descent<T>> descent_;
};

using PyPenalty = std::tuple<std::string, double, std::size_t>;

DescentOptions make_options(const std::string& rule, const std::vector<double>& rates,
                            double momentum, double tolerance, std::int64_t n_steps,
                            std::int64_t patience, const std::vector<PyPenalty>& penalties) {
    DescentOptions options;
    if (rule == "armijo") options.rule = StepRule::armijo;
    if (rule == "barzilai-borwein") options.rule = StepRule::barzilai_borwein;
    options.rates = rates;
    options.momentum = momentum;
    options.tolerance = tolerance;
    options.n_steps = n_steps;
    options.patience = patience;
    for (const auto& [kind, strength, array] : penalties) {
        options.penalties.push_back(
            {kind == "l2" ? PenaltyKind::l2 : PenaltyKind::smoothness, strength, array});
    }
    return options;
}

template <class T>
void bind_one(py::module_& module, const char* name) {
    using Bound = BoundDescent<T>;
    py::class_<Bound>(module, name)
        .def(py::init<const BoundNetwork&, const ArrayList&, const py::array&, const Loss&,
                      const py::array&, const py::object&, const std::vector<std::int64_t>&,
                      const py::object&, std::int64_t, int, bool, const DescentOptions&>(),
             py::arg("network"), py::arg("start"), py::arg("x"), py::arg("loss"), py::arg("y"),
             py::arg("weights"), py::arg("at"), py::arg("validation"), py::arg("memory"),
             py::arg("threads"), py::arg("wants_omega"), py::arg("options"))
        .def("advance", &Bound::advance, py::arg("max_steps"), py::arg("seconds"))
        .def("records", &Bound::records)
        .def_property_readonly("step", &Bound::step)
        .def("copy_parameters", &Bound::copy_parameters, py::arg("arrays"))
        .def("copy_best", &Bound::copy_best, py::arg("arrays"))
        .def("copy_previous", &Bound::copy_previous, py::arg("arrays"));
}

}  // namespace

void bind_descent(py::module_& module) {
    py::class_<DescentOptions>(module, "DescentOptions")
        .def(py::init(&make_options), py::arg("rule"), py::arg("rates"), py::arg("momentum"),
             py::arg("tolerance"), py::arg("n_steps"), py::arg("patience"), py::arg("penalties"));
    bind_one<float>(module, "DescentFloat32");
    bind_one<double>(module, "DescentFloat64");
}

}  // namespace relaxon::python
