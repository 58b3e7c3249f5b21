// The coefficients of a stencil network, prepared once per sweep: physical parameters become
// stencil weights in the padded layout, and sums of weight gradients become parameter gradients.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "relaxon/array.hpp"
#include "relaxon/layer.hpp"
#include "relaxon/network.hpp"

namespace relaxon {

// How the parameters of a configuration meet the stencil: what is a field, what is a set per layer.
// Lax-Wendroff weights follow omega, so they may be local or layered where R, U, D are not.
struct StencilShape {
    StencilShape(const NetworkConfig& config, int n_arms, bool uses_omega);

    bool weights_are_local, bias_is_local, omega_is_local;
    bool has_bias;
    std::int64_t n_weight_sets, n_bias_sets, n_omega_sets;
    int n_arms;

    std::int64_t weight_set(std::int64_t layer) const { return n_weight_sets > 1 ? layer : 0; }
    std::int64_t bias_set(std::int64_t layer) const { return n_bias_sets > 1 ? layer : 0; }
    std::int64_t omega_set(std::int64_t layer) const { return n_omega_sets > 1 ? layer : 0; }
};

// Shared by the three classes below and by the sweep; lives as long as they do.
template <class T>
struct StencilModel {
    StencilModel(const NetworkConfig& config, std::int64_t overlap);

    NetworkConfig config;
    std::unique_ptr<StencilOperator<T>> op;
    std::unique_ptr<StencilOperator<double>> wide_op;  // for sums, which are kept in double
    StencilGeometry geometry;
    StencilShape shape;
};

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

// Gradient sums of one chunk of samples.
template <class T>
class StencilGradient {
public:
    StencilGradient(const StencilModel<T>& model, std::int64_t n_tiles, bool wants_omega,
                    Arena& arena);

    // Targets of one layer and tile; tiles share fields (their own rows) but not sums.
    LayerGradient<T> layer(std::int64_t layer, std::int64_t tile) const;

    void clear(Team& team);
    // Adds the others to the first, in order.
    static void combine(std::vector<StencilGradient>& chunks, Team& team);
    // From the sums to the caller's arrays, which are set. Consumes the sums of omega.
    void pull_back(const Parameters<T>& parameters, const Gradients<T>& gradients,
                   std::vector<MapScratch<T>>& scratch, Team& team);

private:
    void pull_back_fields(const Parameters<T>& parameters, const Gradients<T>& gradients,
                          std::vector<MapScratch<T>>& scratch, Team& team);
    void pull_back_sums(const Parameters<T>& parameters, const Gradients<T>& gradients);
    void pull_back_bias(const Gradients<T>& gradients) const;
    void pull_back_omega(const Gradients<T>& gradients) const;
    void write_components(std::int64_t set, const Gradients<T>& gradients);
    OrderedSum* omega_sum(std::int64_t weight_set);
    T sum_tiles(const OrderedSum* sums) const;

    const StencilModel<T>* model_;
    std::int64_t n_tiles_;
    std::int64_t n_fields_ = 0;
    T** fields_ = nullptr;  // all of them, for clear and combine
    std::int64_t n_sums_ = 0;
    OrderedSum* sums_ = nullptr;
    T** weight_fields_ = nullptr;        // [set][arm]
    OrderedSum* weight_sums_ = nullptr;  // [set][tile][arm]
    T** bias_fields_ = nullptr;          // [set]
    OrderedSum* bias_sums_ = nullptr;    // [set][tile]
    T* omega_field_ = nullptr;
    OrderedSum* omega_sums_ = nullptr;  // [set][tile]
    OrderedSum* component_sums_ = nullptr;
    double* wide_ = nullptr;  // scratch of pull_back_sums
    double** wide_pointers_ = nullptr;
};

}  // namespace relaxon
