// A network with random parameters, input and targets, and its sweeps with results in vectors.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "grids.hpp"
#include "relaxon/sweeps/make_sweep.hpp"

namespace relaxon {

template <class T>
using Arrays = std::vector<std::vector<T>>;

template <class T>
struct GradientResult {
    double loss = 0.0;
    Arrays<T> bars;
    std::vector<T> x_bar;
    Evaluations evaluations;
};

template <class T>
class Problem {
public:
    Problem(NetworkConfig network, std::int64_t n_samples, std::vector<std::int64_t> layers)
        : config(std::move(network)), batch(n_samples), at(std::move(layers)),
          arrays(parameter_arrays(config)) {
        if (at.empty()) at = {config.depth()};
        unsigned seed = 1;
        for (const ParameterArray& array : arrays) parameters.push_back(start(array, ++seed));
        x = random_values<T>(batch * config.input_size(), 101);
        y = random_values<T>(n_outputs() * static_cast<std::int64_t>(at.size()), 102);
        weights = random_values<T>(config.output_size(), 103, 1.0, 0.5);
    }

    std::int64_t n_outputs() const { return batch * config.output_size(); }

    static Parameters<T> view(const Arrays<T>& values) {
        Parameters<T> pointers;
        for (const std::vector<T>& array : values) pointers.push_back(array.data());
        return pointers;
    }

    SweepRequest request(SweepKind kind, int n_threads, std::int64_t memory_bytes = -1) const {
        SweepRequest made;
        made.kind = kind;
        made.batch = batch;
        made.n_threads = n_threads;
        made.memory_bytes = memory_bytes;
        made.at = at;
        made.wants_omega = true;
        made.wants_input = true;
        return made;
    }

    Target<T> target() const {
        Target<T> target;
        target.y = y.data();
        target.weights = weights.data();
        return target;
    }

    std::vector<T> forward(bool all_layers, int n_threads) const {
        const std::int64_t n_states = batch * (config.depth() + 1) * config.grid->n_cells();
        std::vector<T> out(static_cast<std::size_t>(all_layers ? n_states : n_outputs()));
        Team team(n_threads, {});
        make_sweep<T>(config, request(SweepKind::forward, n_threads))
            ->forward(view(parameters), x.data(), out.data(), all_layers, team);
        return out;
    }

    double loss(const Arrays<T>& values, const std::vector<T>& input) const {
        Team team(1, {});
        return make_sweep<T>(config, request(SweepKind::forward, 1))
            ->loss(view(values), input.data(), target(), team);
    }

    GradientResult<T> gradient(int n_threads, std::int64_t memory_bytes) const {
        GradientResult<T> result;
        Team team(n_threads, {});
        const auto sweep =
            make_sweep<T>(config, request(SweepKind::gradient, n_threads, memory_bytes));
        const Gradients<T> places = make_places(result);
        result.loss = sweep->value_and_gradient(view(parameters), x.data(), target(), places, team);
        result.evaluations = sweep->evaluations();
        return result;
    }

    GradientResult<T> vjp(const std::vector<T>& y_bar) const {
        GradientResult<T> result;
        Team team(1, {});
        SweepRequest made = request(SweepKind::gradient, 1);
        made.at = {config.depth()};
        const auto sweep = make_sweep<T>(config, made);
        sweep->vjp(view(parameters), x.data(), y_bar.data(), make_places(result), team);
        return result;
    }

    std::vector<T> jvp(const Arrays<T>& parameters_dot, const std::vector<T>& x_dot) const {
        std::vector<T> y_dot(static_cast<std::size_t>(n_outputs()));
        Team team(1, {});
        SweepRequest made = request(SweepKind::tangent, 1);
        made.at = {config.depth()};
        make_sweep<T>(config, made)
            ->jvp(view(parameters), view(parameters_dot), x.data(), x_dot.data(), y_dot.data(),
                  team);
        return y_dot;
    }

    // Room for every gradient, held by `result`.
    Gradients<T> make_places(GradientResult<T>& result) const {
        Gradients<T> places;
        for (const std::vector<T>& array : parameters) result.bars.emplace_back(array.size());
        for (std::vector<T>& bar : result.bars) places.arrays.push_back(bar.data());
        result.x_bar.resize(x.size());
        places.x = result.x_bar.data();
        return places;
    }

    // A direction for every parameter, of the size of the parameters' own noise.
    Arrays<T> direction() const {
        Arrays<T> dot;
        unsigned seed = 51;
        for (const std::vector<T>& array : parameters) {
            dot.push_back(
                random_values<T>(static_cast<std::int64_t>(array.size()), ++seed, 0, 0.1));
        }
        return dot;
    }

    NetworkConfig config;
    std::int64_t batch;
    std::vector<std::int64_t> at;
    std::vector<ParameterArray> arrays;
    Arrays<T> parameters;
    std::vector<T> x, y, weights;

private:
    // Near the identity, omega near 1 / 2, so that signals neither die nor grow over many layers.
    std::vector<T> start(const ParameterArray& array, unsigned seed) const {
        if (array.name == "omega" || array.name == "gamma")
            return random_values<T>(array.size(), seed, 0.5, 0.2);
        if (array.name == "D") return random_values<T>(array.size(), seed, 0.1, 0.02);
        if (array.name == "lift_weight" || array.name == "readout_weight") {
            const double spread = 1.0 / std::sqrt(static_cast<double>(array.shape[1]));
            return random_values<T>(array.size(), seed, 0.0, spread);
        }
        std::vector<T> values = random_values<T>(array.size(), seed, 0.0, 0.1);
        // The upwind scheme has a kink at 0.
        if (array.name == "U") {
            for (T& u : values) u = std::copysign(T(0.02) + std::abs(u), u);
        }
        if (array.name == "W") {
            const std::int64_t n = config.grid->n_cells();
            const T scale = T(1) / std::sqrt(static_cast<T>(n));
            for (std::int64_t i = 0; i < array.size(); ++i) {
                T& value = values[static_cast<std::size_t>(i)];
                value = value * scale + (i % (n * n) % (n + 1) == 0 ? T(1) : T(0));
            }
        }
        return values;
    }
};

template <class T>
double inner(const std::vector<T>& a, const std::vector<T>& b) {
    long double sum = 0.0L;
    for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<long double>(a[i]) * b[i];
    return static_cast<double>(sum);
}

template <class T>
double inner(const Arrays<T>& a, const Arrays<T>& b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += inner(a[i], b[i]);
    return sum;
}

template <class T>
double norm_of(const std::vector<T>& a) {
    return std::sqrt(inner(a, a));
}

}  // namespace relaxon
