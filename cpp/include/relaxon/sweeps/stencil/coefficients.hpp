// The coefficients of a stencil network, prepared once per sweep: physical parameters become
// stencil weights in the padded layout.
#pragma once

#include <cstdint>
#include <vector>

#include "relaxon/base/array.hpp"
#include "relaxon/sweeps/stencil/layer.hpp"
#include "relaxon/sweeps/stencil/model.hpp"

namespace relaxon {

// Pointers and values of one worker while it maps a block of cells between parameters and weights.
template <class T>
struct MapScratch {
    MapScratch(int n_arms, std::int64_t n_components, Arena& arena)
        : weights(arena.take<T*>(n_arms)), components(arena.take<const T*>(n_components)),
          components_dot(arena.take<const T*>(n_components)), bars(arena.take<T*>(n_components)),
          omega_bar(arena.take<T>(kBlock)) {
        for (std::int64_t c = 0; c < n_components; ++c) {
            T* bar = arena.take<T>(kBlock);
            if (!arena.is_measuring()) bars[c] = bar;
        }
    }

    T** weights;
    const T** components;
    const T** components_dot;
    T** bars;
    T* omega_bar;
};

template <class T>
class StencilCoefficients {
public:
    StencilCoefficients(const StencilModel<T>& model, int n_workers, Arena& arena);

    // Weights, bias and omega of every layer from the caller's arrays.
    void prepare(const Parameters<T>& parameters, Team& team);
    // The derivative of prepare at `parameters` along `parameters_dot`.
    void prepare_tangent(const Parameters<T>& parameters, const Parameters<T>& parameters_dot,
                         Team& team);

    Layer<T> layer(std::int64_t layer) const;
    std::vector<MapScratch<T>>& scratch() { return scratch_; }

private:
    void map_weights(const Parameters<T>& parameters, const Parameters<T>* parameters_dot,
                     Team& team);
    void pack_fields(const Parameters<T>& parameters, Team& team);
    void finish_field(T* field) const;

    const StencilModel<T>& model_;
    Parameters<T> parameters_;  // homogeneous bias and omega are read where the caller has them
    T** weights_;               // [set][arm]
    T** bias_;                  // [set], local bias
    T* omega_ = nullptr;        // local omega
    std::vector<MapScratch<T>> scratch_;
};

}  // namespace relaxon
