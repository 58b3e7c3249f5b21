#include "bind.hpp"
#include "bound_network.hpp"
#include "interrupt.hpp"
#include "parse_name.hpp"
#include "penalty_list.hpp"
#include "relaxon/training/on_the_fly.hpp"

namespace relaxon::python {

namespace {

OnTheFlyOptions make_options(const std::string& method, std::int64_t inner_steps, double ridge,
                             double rate, double mass, double friction, double tau,
                             const std::string& target) {
    OnTheFlyOptions options;
    options.method = parse_name<LayerMethod>(method, {{"newton", LayerMethod::newton},
                                                      {"descent", LayerMethod::descent},
                                                      {"second-order", LayerMethod::second_order}});
    options.inner_steps = inner_steps;
    options.ridge = ridge;
    options.rate = rate;
    options.mass = mass;
    options.friction = friction;
    options.tau = tau;
    options.follows_path = parse_name<bool>(target, {{"final", false}, {"path", true}});
    return options;
}

// A training and the arrays that it reads and writes.
template <class T>
class BoundOnTheFly {
public:
    BoundOnTheFly(const BoundNetwork& network, const ArrayList& parameters, const py::array& omega,
                  const py::array& x, const Loss& loss, const py::array& y,
                  const py::object& weights, const std::vector<PyPenalty>& penalties,
                  std::int64_t memory, int threads, const OnTheFlyOptions& options)
        : held_(py::make_tuple(parameters, omega, x, y, weights)), threads_(threads) {
        OnTheFlyProblem<T> problem;
        problem.config = network.config;
        problem.batch = batch_of(network, x);
        problem.n_threads = threads;
        problem.memory_bytes = memory;
        problem.x = read_view<T>(x, problem.batch * network.config.input_size(), "x");
        problem.target = read_target<T>(network, loss, y, weights, problem.batch);
        problem.penalties = read_penalties(penalties);
        problem.omega = read_view<T>(omega, network.arrays.back().size(), "omega");
        if (parameters.size() + 1 != network.arrays.size()) {
            throw py::type_error("parameters: wrong number");
        }
        for (std::size_t i = 0; i < parameters.size(); ++i) {
            const ParameterArray& array = network.arrays[i];
            problem.parameters.push_back(
                write_view<T>(parameters[i], array.size(), array.name.c_str()));
        }
        training_ = std::make_unique<OnTheFly<T>>(problem, options);
    }

    bool run() {
        return run_released(threads_, [&](Team& team) { return training_->run(team); });
    }

    py::array_t<double> records() const {
        const std::vector<LayerRecord>& records = training_->records();
        py::array_t<double> table({records.size(), std::size_t{6}});
        double* entry = table.mutable_data();
        for (const LayerRecord& record : records) {
            for (const double value :
                 {record.loss_before, record.penalty_before, record.gradient_norm, record.loss,
                  record.penalty, record.kinetic_energy}) {
                *entry++ = value;
            }
        }
        return table;
    }

    const std::string& failure() const { return training_->failure(); }

    std::int64_t total_bytes() const { return training_->total_bytes(); }

private:
    py::object held_;
    int threads_;
    std::unique_ptr<OnTheFly<T>> training_;
};

template <class T>
void bind_one(py::module_& module, const char* name) {
    using Bound = BoundOnTheFly<T>;
    py::class_<Bound>(module, name)
        .def(py::init<const BoundNetwork&, const ArrayList&, const py::array&, const py::array&,
                      const Loss&, const py::array&, const py::object&,
                      const std::vector<PyPenalty>&, std::int64_t, int, const OnTheFlyOptions&>(),
             py::arg("network"), py::arg("parameters"), py::arg("omega"), py::arg("x"),
             py::arg("loss"), py::arg("y"), py::arg("weights"), py::arg("penalties"),
             py::arg("memory"), py::arg("threads"), py::arg("options"))
        .def("run", &Bound::run)
        .def("records", &Bound::records)
        .def("failure", &Bound::failure)
        .def_property_readonly("total_bytes", &Bound::total_bytes);
}

}  // namespace

void bind_on_the_fly(py::module_& module) {
    py::class_<OnTheFlyOptions>(module, "OnTheFlyOptions")
        .def(py::init(&make_options), py::arg("method"), py::arg("inner_steps"), py::arg("ridge"),
             py::arg("rate"), py::arg("mass"), py::arg("friction"), py::arg("tau"),
             py::arg("target"));
    bind_one<float>(module, "OnTheFlyFloat32");
    bind_one<double>(module, "OnTheFlyFloat64");
}

}  // namespace relaxon::python
