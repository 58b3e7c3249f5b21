// Explicit layers on whole fields, over any operator that acts on them: all samples go through a
// layer together, and workers share its rows in blocks of fixed size. f is recovered from the
// states where layer.hpp's rule allows it; elsewhere Z is stored beside z, if memory allows, which
// spares the reverse sweep a third of its products.
#pragma once

#include <memory>

#include "relaxon/sweeps/fields/layers.hpp"

namespace relaxon {

template <class T>
class PlainLayers : public FieldLayers<T> {
public:
    using typename FieldLayers<T>::Bundle;

    PlainLayers(const NetworkConfig& config, const SweepRequest& request);

    Plan plan(std::int64_t own_bytes);
    void carve(Arena& arena, const Plan& plan);

    void prepare(const Parameters<T>& parameters, Team& team);
    void prepare_tangent(const Parameters<T>& parameters, const Parameters<T>& parameters_dot,
                         Team& team);
    void clear(const Gradients<T>& gradients, Team& team);
    void finish(const Parameters<T>&, const Gradients<T>& gradients, Team&) const {
        this->finish_shared(gradients);
    }

    void advance(Bundle& bundle, std::int64_t begin, std::int64_t end, T* out, bool is_reversed);
    void advance_tangent(Bundle& bundle, std::int64_t layer, const T* z_dot, T* out, T* out_dot);
    void apply(Bundle& bundle, std::int64_t layer, T* out);
    void assemble(std::int64_t layer, T* values, T* shift) { op_->assemble(layer, values, shift); }
    void reverse(Bundle& bundle, std::int64_t layer, std::int64_t end, const Seed<T>* seed,
                 std::int64_t place);

private:
    using typename FieldLayers<T>::Layer;
    using FieldLayers<T>::config_;
    using FieldLayers<T>::request_;
    using FieldLayers<T>::n_;
    using FieldLayers<T>::segments_;
    using FieldLayers<T>::parameters_;
    using FieldLayers<T>::parameters_dot_;
    using FieldLayers<T>::gradients_;
    using FieldLayers<T>::s_;
    using FieldLayers<T>::growth_;
    using FieldLayers<T>::pull_;
    using FieldLayers<T>::state_length;
    using FieldLayers<T>::layer_of;
    using FieldLayers<T>::for_each_block;
    using FieldLayers<T>::zero_masked;
    using FieldLayers<T>::find_growth;
    using FieldLayers<T>::normalise;
    using FieldLayers<T>::project;
    using FieldLayers<T>::pull_elements;

    PlanInput plan_input(std::int64_t own_bytes, bool is_rich);
    void carve(Arena& arena, std::int64_t n_snapshots);
    T* kept_pre(std::int64_t layer) const {
        return pre_ + (layer - segments_.first()) * state_length();
    }
    bool recovers(std::int64_t layer) const;
    void evaluate(std::int64_t layer, const Layer& view, const FieldBlock& block, T* pre) const;
    void relax(std::int64_t layer, const T* z, T* pre, T* out, Team& team);

    std::unique_ptr<FieldOperator<T>> op_;
    bool is_rich_ = false;  // Z of every layer is kept
    T* pre_ = nullptr;      // Z of one layer, or of every layer where it is kept
};

}  // namespace relaxon
