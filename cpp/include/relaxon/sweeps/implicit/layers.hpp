// Implicit layers, for every operator: z' solves
//
//     z' + e (z' - f(W z' - b)) = r,   r = z + omega (1 - theta) (f(W z - b) - z) - beta (|z| - 1)
//     z
//
// with e = omega theta, by Newton's method from z on one sample at a time; for f = identity by one
// solve, with one factorisation for all samples and layers that share W. A layer is pulled back by
// one solve with the transpose: with m = J^-T lambda, J the Jacobian at z',
//
//     s' = e f'(Z') m,   s = omega (1 - theta) f'(Z) m,   z_bar = (1 - omega (1 - theta)) m + W^T s
//
// and the sums over (s', z') and (s, z) are those of explicit layers. W is there as entries; one of
// three points on a line as arrays, for which solves and sums go by packs (line.hpp), and only
// samples whose Jacobian wants row exchanges, or whose steps are shortened, take the general way:
// the first of them has the entries assembled.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "relaxon/base/error.hpp"
#include "relaxon/solvers/newton.hpp"
#include "relaxon/solvers/shifted_pattern.hpp"
#include "relaxon/sweeps/fields/layers.hpp"
#include "relaxon/sweeps/implicit/line.hpp"
#include "relaxon/sweeps/implicit/matrix.hpp"

namespace relaxon {

// Relative residual of the solves of derivatives, where they are iterations.
constexpr double kLinearTolerance = 1e-12;

template <class T>
class ImplicitLayers : public FieldLayers<T> {
public:
    using typename FieldLayers<T>::Bundle;

    ImplicitLayers(const NetworkConfig& config, const SweepRequest& request);

    Plan plan(std::int64_t own_bytes);
    void carve(Arena& arena, const Plan& plan) { carve(arena, plan.n_snapshots); }

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

    // In place, for all samples: lambda becomes J^-T lambda, J that of a layer at its end, `later`,
    // and q, where it is not null, |J^-T (q |J^-1 1|)|. Where J^-1 has no entries below 0, that is
    // the sum of every row of J^-T diag(q) J^-1, and so the diagonal of a matrix above this one.
    void respond(Bundle& bundle, std::int64_t layer, const T* later, T* lambda, T* q);
    // f(sample, worker, response): solves with J^-1 and J^-T in place, see response.hpp.
    template <class F>
    void for_each_response(Bundle& bundle, std::int64_t layer, const T* later, const F& f);
    // Of the solvers, beside what is carved.
    std::int64_t solver_bytes() const;

private:
    using typename FieldLayers<T>::Layer;
    using FieldLayers<T>::config_;
    using FieldLayers<T>::request_;
    using FieldLayers<T>::arrays_;
    using FieldLayers<T>::n_own_arrays_;
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
    using FieldLayers<T>::size_of;
    using FieldLayers<T>::normalise;
    using FieldLayers<T>::project;
    using FieldLayers<T>::n_omega_sets;
    using FieldLayers<T>::n_blocks_;
    using FieldLayers<T>::bias_sums_;
    using FieldLayers<T>::omega_sums_;
    using FieldLayers<T>::pull_elements;

    // Of a worker, one sample at a time: n numbers each, and the Jacobian's entries.
    struct Work {
        T *pre, *f, *slope, *right, *entries;
        NewtonWork<T> newton;
        std::unique_ptr<LinearSolver<T>> solver;  // null where one serves all, or none was needed
    };
    class Problem;
    class Response;

    void carve(Arena& arena, std::int64_t n_snapshots);
    bool is_linear() const { return config_.activation == Activation::identity; }
    // A nonlinear layer's Jacobian is another one in every iteration.
    Use use() const { return is_linear() ? Use::often : Use::once; }
    bool exists(std::int64_t i) const { return config_.grid->exists(i); }
    T implicit_rate(const Layer& view, std::int64_t i) const {
        return static_cast<T>(theta_) * view.omega[i * view.omega_step];
    }
    // b, or b - x for the view of a sample with drive.
    T bias(const Layer& view, std::int64_t i) const {
        const T own = view.bias ? view.bias[i * view.bias_step] : T(0);
        return view.drive ? own - view.drive[i] : own;
    }
    Layer view_of(const Layer& layer, const T* drive, std::int64_t sample) const {
        Layer view = layer;
        view.drive = drive ? drive + sample * n_ : nullptr;
        return view;
    }
    int n_works() const { return line_ ? line_->n_works : request_.n_threads; }
    const ShiftedPattern& jacobian();
    LinearSolver<T>& solver_of(std::unique_ptr<LinearSolver<T>>& place);
    void take_layer(std::int64_t layer, Team& team);
    void take_entries(std::int64_t layer);
    void find_norm();
    template <class F>
    void for_each_sample(Team& team, const F& f);
    template <class F>
    void for_each_line(Team& team, const F& f);
    void evaluate(const Layer& view, const T* z, T* pre) const;
    void set_right(const Layer& view, const T* z, T growth, Work& work) const;
    void factorise(const Layer& view, T shift, Work& work, LinearSolver<T>& solver);
    void solve(const Layer& view, std::int64_t layer, std::int64_t sample, const T* z, T* out,
               Work& work, Team& team, int worker);
    void restore_size(std::int64_t layer, std::int64_t sample, const T* z, T* y) const;
    void solve_transposed(const Layer& view, const T* later, const T* lambda, T* m, Work& work);

    // Of a line: take_layer, advance and reverse.
    void take_line(const Layer& view, std::int64_t layer, Team& team);
    void evaluate_line(const Layer& view, const T* z, std::int64_t begin, std::int64_t end,
                       T* pre) const;
    void set_line_right(const Layer& view, const T* z, T growth, T* right, Work& work,
                        Team* inner) const;
    void solve_line(const Layer& view, std::int64_t layer, std::int64_t sample, const T* z, T* out,
                    int worker, Team& team, Team* inner);
    bool pull_line(const Layer& view, std::int64_t layer, std::int64_t sample, const T* later,
                   const T* lambda, T* m, int worker, Team* inner);
    void add_line_sums(const LineSums& sums, const T* rate, const T* s, const T* z, const T* m,
                       const T* f, double weight, Team* inner) const;
    void add_line_drive(const T* rate, const T* s, T* x_bar, Team* inner) const;
    void reverse_line(const Layer& view, std::int64_t layer, std::int64_t sample,
                      std::int64_t chunk, Bundle& bundle, int worker, Team* inner);
    void reverse_lines(Bundle& bundle, std::int64_t layer);
    bool keeps_line_sums() const;
    void flush_line_sums(std::int64_t layer, Team* inner);

    void fail(std::int64_t layer, std::int64_t sample, const NewtonResult& result);
    void throw_failure();

    double theta_;
    bool wants_omega_;
    std::unique_ptr<LayerMatrix<T>> matrix_;
    std::optional<ShiftedPattern> jacobian_;
    std::optional<ImplicitLine<T>> line_;
    std::vector<Work> works_;
    std::unique_ptr<LinearSolver<T>> shared_;  // of f = identity
    std::int64_t set_ = -1;                    // whose coefficients are taken
    std::int64_t entries_set_ = -1;            // whose entries are assembled
    double row_norm_ = 0.0;
    std::mutex failing_, making_;
    std::optional<LayerError> failure_;

    Parameters<T> scheme_parameters_, scheme_parameters_dot_;
    T* scheme_omega_ = nullptr;  // that schemes see
    T* scheme_omega_dot_ = nullptr;
    T* scheme_omega_bar_ = nullptr;
    T* entries_ = nullptr;  // W of a layer
    T* shift_ = nullptr;
    T* entries_dot_ = nullptr;
    T* shift_dot_ = nullptr;
    T* entries_bar_ = nullptr;
    T* shift_bar_ = nullptr;
    T* pre_ = nullptr;       // Z of all samples
    T* scaled_ = nullptr;    // theta m, or (1 - theta) m
    T* solution_ = nullptr;  // z' before its hard normalisation
};

template <class T>
template <class F>
void ImplicitLayers<T>::for_each_sample(Team& team, const F& f) {
    team.parallel_for(request_.batch, n_works(), [&](std::int64_t sample, int worker) {
        f(sample, works_[static_cast<std::size_t>(worker)], worker);
    });
    throw_failure();
}

// f(sample, worker, inner): `inner` is the team where workers share the cells of a line.
template <class T>
template <class F>
void ImplicitLayers<T>::for_each_line(Team& team, const F& f) {
    if (line_->shares_lines) {
        for (std::int64_t i = 0; i < request_.batch; ++i) f(i, 0, &team);
    } else {
        team.parallel_for(request_.batch,
                          [&](std::int64_t i, int worker) { f(i, worker, nullptr); });
    }
    throw_failure();
}

}  // namespace relaxon
