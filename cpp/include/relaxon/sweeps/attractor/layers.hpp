// The one layer of a network without end, for every operator: its output is the attractor
// z* = f(W z* - b), looked for from its input, or with drive that of z* = f(W z* - b + x). It is
// pulled back by one solve with the transpose: with v = (1 - F' A)^-T lambda,
//
//     s = f'(Z*) v,   x_bar = s with drive, else 0
//
// and the sums over (s, z*) are those of explicit layers with omega = 1; omega itself acts through
// schemes alone.
//
// Where W is one of three points on a line, searches, the way back and the sums go by packs
// (line_newton.hpp), and W is there as arrays alone; its entries are made for samples that want row
// exchanges or implicit steps, and for tangents.
#pragma once

#include <mutex>
#include <optional>
#include <vector>

#include "relaxon/base/error.hpp"
#include "relaxon/sweeps/attractor/search.hpp"
#include "relaxon/sweeps/fields/layers.hpp"
#include "relaxon/sweeps/implicit/line.hpp"
#include "relaxon/sweeps/implicit/matrix.hpp"

namespace relaxon {

template <class T>
class AttractorLayers : public FieldLayers<T> {
public:
    using typename FieldLayers<T>::Bundle;

    AttractorLayers(const NetworkConfig& config, const SweepRequest& request);

    Plan plan(std::int64_t own_bytes);
    void carve(Arena& arena, const Plan& plan) { carve(arena, plan.n_snapshots); }

    // The first state may be null, which is 0, and the source is the caller's where every cell
    // exists: it is read before the output is written.
    void load(Bundle& bundle, const T* x);
    void load_drive(Bundle& bundle, const T* x);
    void unload(const Bundle& bundle, const T* z, T* cells, std::int64_t stride) const;
    template <class F>
    void visit(const Bundle& bundle, std::int64_t i, const T* z, const F& f) const {
        static constexpr T kZero = T(0);
        if (z) return FieldLayers<T>::visit(bundle, i, z, f);
        f(&kZero, 0, 0, n_);
    }

    void prepare(const Parameters<T>& parameters, Team& team);
    void prepare_tangent(const Parameters<T>& parameters, const Parameters<T>& parameters_dot,
                         Team& team);
    void clear(const Gradients<T>& gradients, Team& team);
    void finish(const Parameters<T>& parameters, const Gradients<T>& gradients, Team& team);

    void advance(Bundle& bundle, std::int64_t begin, std::int64_t end, T* out, bool is_reversed);
    void advance_tangent(Bundle& bundle, std::int64_t layer, const T* z_dot, T* out, T* out_dot);
    void apply(Bundle& bundle, std::int64_t layer, T* out);
    void assemble(std::int64_t layer, T* values, T* shift) {
        matrix_->assemble(layer, values, shift);
    }
    void reverse(Bundle& bundle, std::int64_t layer, std::int64_t end, const Seed<T>* seed,
                 std::int64_t place);

    // The first sample that the last pass left without attractor.
    std::optional<AttractorError> unsolved() const { return unsolved_; }

    // Searches outside of a network.
    AttractorFindings find(const Parameters<T>& parameters, const AttractorFields<T>& fields,
                           bool wants_histories, Team& team);

private:
    using typename FieldLayers<T>::Layer;
    using FieldLayers<T>::config_;
    using FieldLayers<T>::request_;
    using FieldLayers<T>::arrays_;
    using FieldLayers<T>::n_;
    using FieldLayers<T>::parameters_;
    using FieldLayers<T>::parameters_dot_;
    using FieldLayers<T>::gradients_;
    using FieldLayers<T>::bundles_;
    using FieldLayers<T>::bias_sums_;
    using FieldLayers<T>::omega_sums_;
    using FieldLayers<T>::n_blocks_;
    using FieldLayers<T>::n_own_arrays_;
    using FieldLayers<T>::state_length;
    using FieldLayers<T>::layer_of;
    using FieldLayers<T>::for_each_block;

    void carve(Arena& arena, std::int64_t n_snapshots);
    void carve_bundle(Arena& arena, std::int64_t n_snapshots);
    std::int64_t n_entries() const { return matrix_->pattern().n_entries(); }
    const ShiftedPattern& jacobian();
    void assemble(T* entries, T* offset);
    void assemble_once();
    void prepare_line(Team& team);
    void add_bias(const FieldBlock& block, const T* s);
    void add_line_entries(const FieldBlock& block, const T* s, const T* z, const ThreePoint<T>& bar,
                          T* shift_bar) const;
    // Workers share the cells of a sample, not the samples.
    bool shares_lines() const;
    int n_searchers() const { return shares_lines() ? 1 : request_.n_threads; }
    bool exists(std::int64_t i) const { return config_.grid->exists(i); }
    const T* source_of(std::int64_t sample) const {
        return sources_ ? sources_ + sample * n_ : nullptr;
    }
    // Where a sample starts; null: at 0.
    const T* start_of(const Bundle& bundle, std::int64_t sample) const {
        return bundle.states.current ? bundle.states.current + sample * n_ : nullptr;
    }
    bool is_linear() const { return equation_.is_linear(); }
    AttractorResult find(std::int64_t sample, const T* source, const T* start, T* z,
                         bool is_polished, Team& team, int worker, std::vector<double>* history);
    template <class F>
    void for_each_sample(Team& team, const F& f);
    void note(std::int64_t sample, const AttractorResult& result);
    void note(std::int64_t sample, double residual, const char* reason);

    Attractor attractor_;
    bool wants_omega_;
    std::unique_ptr<LayerMatrix<T>> matrix_;
    std::optional<ShiftedPattern> jacobian_;
    std::optional<LineNewton<T>> line_;  // where cells see their neighbours alone
    AttractorMethod method_;
    FixedPoint<T> equation_;
    std::vector<AttractorSearcher<T>> searchers_;  // of the workers
    std::unique_ptr<LinearSolver<T>> shared_;      // of f = identity
    bool is_singular_ = false;                     // that one's matrix
    std::mutex noting_, making_;
    std::optional<AttractorError> unsolved_;
    Gradients<T> without_omega_;

    const T* sources_ = nullptr;  // x of networks with drive, 0 where no cell is
    Block line_entries_;          // of a line: entries_ and offset_, once they were asked for
    T* entries_ = nullptr;        // W
    T* offset_ = nullptr;         // what Dirichlet values add, less the bias
    T* entries_dot_ = nullptr;
    T* offset_dot_ = nullptr;
    T* entries_bar_ = nullptr;
    T* shift_bar_ = nullptr;
    T* moved_ = nullptr;  // of every worker, n numbers
};

template <class T>
template <class F>
void AttractorLayers<T>::for_each_sample(Team& team, const F& f) {
    if (shares_lines()) {
        for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
            f(sample, searchers_[0], 0);
        }
        return;
    }
    team.parallel_for(request_.batch, [&](std::int64_t sample, int worker) {
        f(sample, searchers_[static_cast<std::size_t>(worker)], worker);
    });
}

}  // namespace relaxon
