#include <cmath>

#include "relaxon/sweeps/implicit/response.hpp"

namespace relaxon {

template <class T>
void ImplicitLayers<T>::respond(Bundle& bundle, std::int64_t layer, const T* later, T* lambda,
                                T* q) {
    for_each_response(bundle, layer, later, [&](std::int64_t sample, int worker, auto& response) {
        const std::int64_t first = sample * n_;
        response.solve_transposed(lambda + first);
        if (!q) return;
        T* moved = works_[static_cast<std::size_t>(worker)].newton.step;
        std::fill(moved, moved + n_, T(1));
        response.solve(moved);
        for (std::int64_t i = 0; i < n_; ++i) q[first + i] *= std::abs(moved[i]);
        response.solve_transposed(q + first);
        for (std::int64_t i = first; i < first + n_; ++i) q[i] = std::abs(q[i]);
    });
}

template void ImplicitLayers<float>::respond(Bundle&, std::int64_t, const float*, float*, float*);
template void ImplicitLayers<double>::respond(Bundle&, std::int64_t, const double*, double*,
                                              double*);

}  // namespace relaxon
