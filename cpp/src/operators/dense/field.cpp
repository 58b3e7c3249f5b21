#include "relaxon/operators/dense/field.hpp"

#include <algorithm>

namespace relaxon {

namespace {

// Depth that the collected outer products reach for.
constexpr std::int64_t kCollectedSamples = 512;

static_assert(kFieldRows == kProductRows, "blocks of rows are those of the products");

// f(begin, end, worker) for the blocks of rows.
template <class F>
void for_each_block(std::int64_t n, Team& team, const F& f) {
    team.parallel_for((n + kProductRows - 1) / kProductRows, [&](std::int64_t block, int worker) {
        const std::int64_t begin = block * kProductRows;
        f(begin, std::min(begin + kProductRows, n), worker);
    });
}

}  // namespace

template <class T>
void DenseField<T>::carve(Arena& arena, const FieldRequest& request) {
    request_ = request;
    if (!is_layered_) {
        n_collected_ = std::max<std::int64_t>(1, kCollectedSamples / request.batch);
        n_collected_ = std::min(n_collected_, depth_);
    }
    panels_.clear();
    for (int worker = 0; worker < request.n_workers; ++worker) panels_.emplace_back(arena);
    const std::int64_t packed_length =
        request.batch > 1 ? packed_states_length(n_, request.batch) : 0;
    packed_states_ = arena.take<T>(packed_length);
    if (request.is_rich && request.batch > 1 && !is_layered_) {
        packed_rows_ = arena.take<T>(packed_matrix_length(n_));
        if (request.has_gradient) packed_columns_ = arena.take<T>(packed_matrix_length(n_));
    } else {
        packed_rows_ = packed_columns_ = nullptr;
    }
    if (grid_.has_mask()) clean_weights_ = arena.take<T>(n_ * n_);
    if (request.has_tangent) packed_states_dot_ = arena.take<T>(packed_length);
    if (!request.has_gradient) return;
    const std::int64_t outer_length = packed_outer_length(n_, n_collected_ * request.batch);
    outer_sources_ = arena.take<T>(outer_length);
    outer_states_ = arena.take<T>(outer_length);
}

// W of a layer, without masked rows and columns where there are such.
template <class T>
void DenseField<T>::take_matrix(std::int64_t layer) {
    const std::int64_t set = set_of(layer);
    const T* w = w_ + set * n_ * n_;
    if (grid_.has_mask() && clean_set_ != set) {
        for (std::int64_t i = 0; i < n_; ++i) {
            for (std::int64_t j = 0; j < n_; ++j) {
                const bool exists = grid_.exists(i) && grid_.exists(j);
                clean_weights_[i * n_ + j] = exists ? w[i * n_ + j] : T(0);
            }
        }
        clean_set_ = set;
    }
    matrix_ = {grid_.has_mask() ? clean_weights_ : w, n_, packed_rows_, packed_columns_};
}

template <class T>
void DenseField<T>::assemble(std::int64_t layer, T* values, T* shift) {
    take_matrix(layer);
    std::copy(matrix_.w, matrix_.w + n_ * n_, values);
    std::fill(shift, shift + n_, T(0));
}

template <class T>
void DenseField<T>::add_entries(std::int64_t layer, const T* values_bar,
                                const Gradients<T>& gradients) const {
    T* bar = gradients.arrays[0] + set_of(layer) * n_ * n_;
    for (std::int64_t i = 0; i < n_ * n_; ++i) bar[i] += values_bar[i];
}

template <class T>
void DenseField<T>::prepare(const Parameters<T>& parameters, Team& team) {
    w_ = parameters[0];
    clean_set_ = -1;
    if (!packed_rows_) return;
    take_matrix(0);
    for_each_block(n_, team, [&](std::int64_t begin, std::int64_t end, int) {
        pack_rows(matrix_.w, n_, begin, end, packed_rows_);
        if (packed_columns_) pack_columns(matrix_.w, n_, begin, end, packed_columns_);
    });
}

template <class T>
void DenseField<T>::pack(const T* z, T* packed, States<T>& states, Team& team) const {
    team.parallel_for(n_state_slices(n_, request_.batch), [&](std::int64_t slice, int) {
        pack_states(z, n_, request_.batch, slice, packed);
    });
    states = {z, packed, request_.batch};
}

template <class T>
void DenseField<T>::load(std::int64_t layer, const T* z, Team& team) {
    take_matrix(layer);
    pack(z, packed_states_, states_, team);
}

template <class T>
void DenseField<T>::apply(std::int64_t, const FieldBlock& block, T* out) const {
    multiply(matrix_, block.begin, block.end, states_, out, panel(block.worker));
}

template <class T>
void DenseField<T>::load_sources(std::int64_t layer, const T* s, Team& team) {
    take_matrix(layer);
    pack(s, packed_states_, sources_, team);
}

template <class T>
void DenseField<T>::add_transpose(std::int64_t, const FieldBlock& block, T* out) const {
    add_transposed_product(matrix_, block.begin, block.end, sources_, out, panel(block.worker));
}

// Sets of W that layers reach are set by their first product.
template <class T>
void DenseField<T>::clear(const Gradients<T>& gradients, Team& team) {
    const std::int64_t n_sets = is_layered_ ? depth_ : 1;
    const std::int64_t first = is_layered_ ? request_.first : 0;
    const std::int64_t end = first + std::min(request_.n_layers, n_sets);
    team.parallel_for(n_sets * n_, [&](std::int64_t row, int) {
        if (row >= first * n_ && row < end * n_) return;
        T* bar = gradients.arrays[0] + row * n_;
        std::fill(bar, bar + n_, T(0));
    });
    n_collected_samples_ = 0;
}

template <class T>
void DenseField<T>::collect(std::int64_t, const FieldBlock& block, const T* z, const T* s) {
    for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
        const std::int64_t number = n_collected_samples_ + sample;
        pack_outer_state(z + sample * n_, n_, block.begin, block.end, number, outer_states_);
        pack_outer_source(s + sample * n_, n_, block.begin, block.end, number, outer_sources_);
    }
}

// Groups of layers are counted from the first, so a group ends at its lowest layer.
template <class T>
void DenseField<T>::accumulate(std::int64_t layer, const Gradients<T>& gradients, Team& team) {
    n_collected_samples_ += request_.batch;
    if ((layer - request_.first) % n_collected_ != 0) return;
    T* bar = gradients.arrays[0] + set_of(layer) * n_ * n_;
    const bool adds =
        !is_layered_ &&
        layer - request_.first + n_collected_samples_ / request_.batch < request_.n_layers;
    for_each_block(n_, team, [&](std::int64_t begin, std::int64_t end, int) {
        outer_product(bar, n_, begin, end, outer_sources_, outer_states_, n_collected_samples_,
                      adds);
    });
    n_collected_samples_ = 0;
}

template <class T>
void DenseField<T>::load_tangent(std::int64_t layer, const T* z, const T* z_dot, Team& team) {
    load(layer, z, team);
    pack(z_dot, packed_states_dot_, states_dot_, team);
}

template <class T>
void DenseField<T>::apply_tangent(const Parameters<T>& parameters_dot, std::int64_t layer,
                                  const FieldBlock& block, T* out, T* scratch) const {
    const Matrix<T> matrix_dot{parameters_dot[0] + set_of(layer) * n_ * n_, n_};
    multiply(matrix_dot, block.begin, block.end, states_, out, panel(block.worker));
    multiply(matrix_, block.begin, block.end, states_dot_, scratch, panel(block.worker));
    for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
        for (std::int64_t i = sample * n_ + block.begin; i < sample * n_ + block.end; ++i) {
            out[i] += scratch[i];
        }
    }
}

template class DenseField<float>;
template class DenseField<double>;

}  // namespace relaxon
