// The gradient of a stencil network: sums of weight gradients over samples, layers and cells, which
// become parameter gradients at the end of a sweep.
#pragma once

#include <cstdint>
#include <vector>

#include "relaxon/sweeps/stencil/coefficients.hpp"

namespace relaxon {

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
    void unpack_sum(T* field, T* cells) const;
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
