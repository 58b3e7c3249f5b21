#include "relaxon/training/iterate.hpp"

#include <algorithm>

namespace relaxon {

namespace {

constexpr double kMaxGrowth = 1e3;  // of t from one barzilai-borwein step to the next

template <class T>
void retract_iterate(Iterate<T>& it) {
    if (it.constraint) retract(*it.constraint, it.parameters);
}

// The way from `previous` to where the constraint has left the parameters.
template <class T>
void retract_with_velocity(Iterate<T>& it) {
    if (!it.constraint) return;
    retract_iterate(it);
    for (std::size_t array = 0; array < it.rates.size(); ++array) {
        if (it.rates[array] == 0.0) continue;
        for (std::int64_t i = it.offsets[array]; i < it.offsets[array + 1]; ++i) {
            if (it.previous[i] + it.velocity[i] != it.parameters[i]) {
                it.velocity[i] = it.parameters[i] - it.previous[i];
            }
        }
    }
}

}  // namespace

template <class T>
void take_fixed_step(Iterate<T>& it, double factor, double momentum) {
    const T mu = static_cast<T>(momentum);
    for (std::size_t array = 0; array < it.rates.size(); ++array) {
        if (it.rates[array] == 0.0) continue;
        const T rate = static_cast<T>(factor * it.rates[array]);
        for (std::int64_t i = it.offsets[array]; i < it.offsets[array + 1]; ++i) {
            it.velocity[i] = mu * it.velocity[i] - rate * it.gradient[i];
            const T reached = it.parameters[i] + it.velocity[i];
            const T inside = it.project(i, reached);
            if (inside != reached) it.velocity[i] = inside - it.parameters[i];
            it.parameters[i] = inside;
        }
    }
    retract_with_velocity(it);
}

template <class T>
void take_adam_step(Iterate<T>& it, double factor, const AdamDecay& decay, std::int64_t k) {
    const T beta_1 = static_cast<T>(decay.beta_1), beta_2 = static_cast<T>(decay.beta_2);
    const T rest_1 = static_cast<T>(1.0 - decay.beta_1);
    const T rest_2 = static_cast<T>(1.0 - decay.beta_2);
    const T epsilon = static_cast<T>(decay.epsilon);
    const auto steps = static_cast<double>(k);
    const T correction_1 = static_cast<T>(1.0 - std::pow(decay.beta_1, steps));
    const T correction_2 = static_cast<T>(1.0 - std::pow(decay.beta_2, steps));
    for (std::size_t array = 0; array < it.rates.size(); ++array) {
        if (it.rates[array] == 0.0) continue;
        const T rate = static_cast<T>(factor * it.rates[array]);
        for (std::int64_t i = it.offsets[array]; i < it.offsets[array + 1]; ++i) {
            const T g = it.gradient[i];
            it.velocity[i] = beta_1 * it.velocity[i] + rest_1 * g;
            it.square[i] = beta_2 * it.square[i] + rest_2 * g * g;
            const T mean = it.velocity[i] / correction_1;
            const T root = std::sqrt(it.square[i] / correction_2);
            it.parameters[i] = it.project(i, it.parameters[i] - rate * mean / (root + epsilon));
        }
    }
    retract_iterate(it);
}

template <class T>
bool take_gradient_step(Iterate<T>& it, double factor) {
    for (std::size_t array = 0; array < it.rates.size(); ++array) {
        const T length = static_cast<T>(factor * it.rates[array]);
        if (length == T(0)) continue;
        for (std::int64_t i = it.offsets[array]; i < it.offsets[array + 1]; ++i) {
            it.parameters[i] = it.project(i, it.previous[i] - length * it.previous_gradient[i]);
        }
    }
    retract_iterate(it);
    bool has_moved = false;
    for (std::size_t array = 0; array < it.rates.size() && !has_moved; ++array) {
        if (static_cast<T>(factor * it.rates[array]) == T(0)) continue;
        has_moved =
            !std::equal(it.parameters + it.offsets[array], it.parameters + it.offsets[array + 1],
                        it.previous + it.offsets[array]);
    }
    return has_moved;
}

template <class T>
double promised_decrease(const Iterate<T>& it) {
    return it.sum([&](std::int64_t i, double) {
        return it.previous_gradient[i] * (static_cast<double>(it.previous[i]) - it.parameters[i]);
    });
}

template <class T>
double secant_factor(const Iterate<T>& it, double last) {
    const double square = it.sum([&](std::int64_t i, double rate) {
        const double s = static_cast<double>(it.parameters[i]) - it.previous[i];
        return s * s / rate;
    });
    const double curvature = it.sum([&](std::int64_t i, double) {
        const double s = static_cast<double>(it.parameters[i]) - it.previous[i];
        return s * (static_cast<double>(it.gradient[i]) - it.previous_gradient[i]);
    });
    if (!(curvature > 0.0) || !(square > 0.0)) return 2.0 * last;
    return std::min(square / curvature, kMaxGrowth * last);
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void take_fixed_step<T>(Iterate<T>&, double, double);                                 \
    template void take_adam_step<T>(Iterate<T>&, double, const AdamDecay&, std::int64_t);          \
    template bool take_gradient_step<T>(Iterate<T>&, double);                                      \
    template double promised_decrease<T>(const Iterate<T>&);                                       \
    template double secant_factor<T>(const Iterate<T>&, double);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
