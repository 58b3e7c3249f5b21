// A free matrix as an operator on fields. The outer products of a W that is shared by layers are
// collected, a fixed number of layers at a time counted from the first, into one product.
#pragma once

#include <vector>

#include "relaxon/domain/grid.hpp"
#include "relaxon/operators/dense/products.hpp"
#include "relaxon/operators/field.hpp"

namespace relaxon {

template <class T>
class DenseField final : public FieldOperator<T> {
public:
    // The grid outlives the operator.
    DenseField(const Grid& grid, std::int64_t depth, bool is_layered)
        : grid_(grid), n_(grid.n_cells()), depth_(depth), is_layered_(is_layered) {}

    Pattern pattern() const override { return Pattern::full(n_); }
    void assemble(std::int64_t layer, T* values, T* shift) override;
    void add_entries(std::int64_t layer, const T* values_bar,
                     const Gradients<T>& gradients) const override;
    void carve(Arena& arena, const FieldRequest& request) override;
    void prepare(const Parameters<T>& parameters, Team& team) override;
    void load(std::int64_t layer, const T* z, Team& team) override;
    void apply(std::int64_t layer, const FieldBlock& block, T* out) const override;
    void load_sources(std::int64_t layer, const T* s, Team& team) override;
    void add_transpose(std::int64_t layer, const FieldBlock& block, T* out) const override;
    void clear(const Gradients<T>& gradients, Team& team) override;
    void collect(std::int64_t layer, const FieldBlock& block, const T* z, const T* s) override;
    void accumulate(std::int64_t layer, const Gradients<T>& gradients, Team& team) override;
    void load_tangent(std::int64_t layer, const T* z, const T* z_dot, Team& team) override;
    void apply_tangent(const Parameters<T>& parameters_dot, std::int64_t layer,
                       const FieldBlock& block, T* out, T* scratch) const override;

private:
    std::int64_t set_of(std::int64_t layer) const { return is_layered_ ? layer : 0; }
    void take_matrix(std::int64_t layer);
    void pack(const T* z, T* packed, States<T>& states, Team& team) const;
    const PanelWorkspace<T>& panel(int worker) const {
        return panels_[static_cast<std::size_t>(worker)];
    }

    const Grid& grid_;
    std::int64_t n_, depth_;
    bool is_layered_;
    FieldRequest request_;
    std::int64_t n_collected_ = 1;  // layers, at most

    const T* w_ = nullptr;  // the caller's
    Matrix<T> matrix_;      // of the layer whose operand was loaded
    States<T> states_, sources_, states_dot_;
    std::vector<PanelWorkspace<T>> panels_;
    T* packed_rows_ = nullptr;  // W, where it is shared by layers
    T* packed_columns_ = nullptr;
    T* packed_states_ = nullptr;
    T* packed_states_dot_ = nullptr;
    T* clean_weights_ = nullptr;  // W without its masked rows and columns
    std::int64_t clean_set_ = -1;
    T* outer_sources_ = nullptr;  // s and z of the collected layers
    T* outer_states_ = nullptr;
    std::int64_t n_collected_samples_ = 0;
};

}  // namespace relaxon
