// One layer of a stencil network whose state z is held while its parameters p move, for a whole
// batch at once: the loss of the state z' that it leads to,
//
//     V(p) = 1/batch sum_n sum_i w_i d(r_i),   r = z'(p) - y,
//
// its gradient and its Gauss-Newton matrix,
//
//     c_k = dz'/dp_k = omega f'(Z) dZ/dp_k,   g_k = sum w d'(r) c_k,   H_kl = sum w d'(r)/r c_k
//     c_l.
//
// d'(r)/r is the curvature of the parabola that touches d at r: 2 for the squared distance. A cell
// of z' depends on no coefficients but its own, so local ones have a matrix in every cell, and no
// adjoint is needed: one pass over the samples makes value, gradient and matrix. Cells are cut into
// tasks by shape, samples follow each other within: the same bits for any number of threads.
//
// The end of an implicit layer answers with J^-1 to what happens in one cell: with c_k of the two
// sides of its equation, omega (theta f'(Z') dZ'/dp_k + (1 - theta) f'(Z) dZ/dp_k) at held z',
//
//     g_k = sum m c_k,   m = J^-T w d'(r),      H_kl = sum q c_k c_l,   q = |J^-T (w d'(r)/r |J^-1
//     1|)|
//
// The gradient is exact. The Gauss-Newton matrix C^T J^-T diag(w d'(r)/r) J^-1 C couples all cells:
// where all coefficients are shared it is made, by a solve for each; with local ones H is above it,
// in the order of symmetric matrices, where J^-1 has no entries below 0 (a symmetric S without such
// is below the diagonal of its row sums), and where coefficients are the same everywhere and
// diffusion has its sign, as |J^(k)| >= J^(0) for all waves k.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "relaxon/base/array.hpp"
#include "relaxon/base/parallel.hpp"
#include "relaxon/base/sum.hpp"
#include "relaxon/network/config.hpp"
#include "relaxon/pointwise/loss.hpp"
#include "relaxon/sweeps/implicit/layers.hpp"
#include "relaxon/sweeps/stencil/coefficients.hpp"

namespace relaxon {

// What a layer is compared with: y, or the part of the way from x to it. Cells of weight 0 are not
// read from either.
template <class T>
struct LayerTarget {
    const T* x = nullptr;
    const T* y = nullptr;
    const T* weights = nullptr;  // null: ones
    bool weights_are_shared = true;
    Loss loss;
    double part = 1.0;
};

// The parameters of a layer as unknowns: the components of the operator's arrays, then the bias.
// Local ones have a value in every cell, shared ones a single one.
struct LayerUnknowns {
    struct Component {
        std::size_t array;    // among the parameter arrays
        std::int64_t offset;  // where it begins in there
        bool is_local;
        int place;  // among the local or the shared ones
    };

    explicit LayerUnknowns(const NetworkConfig& config);

    int n() const { return static_cast<int>(components.size()); }

    std::vector<Component> components;
    int n_local = 0, n_shared = 0;
    std::size_t n_arrays = 0;  // omega is none of them
};

// Number of the entry (a, b), b <= a, in a lower triangle.
constexpr int triangle(int a, int b) { return a * (a + 1) / 2 + b; }

// Sums over the samples. Those of local unknowns have one field of cells in C order each, zero on
// masked cells.
struct LayerSums {
    double* gradient = nullptr;         // [local][cell]
    double* matrix = nullptr;           // [triangle(a, b)][cell]
    double* coupling = nullptr;         // [shared n_local + local][cell]
    double* shared_gradient = nullptr;  // [shared]
    double* shared_matrix = nullptr;    // [triangle(a, b)]
};

enum class LayerDerivatives { none, gradient, diagonal, matrix };

template <class T>
class HeldLayer {
public:
    // config: of one layer, explicit or implicit, over a stencil.
    HeldLayer(const NetworkConfig& config, std::int64_t batch, int n_workers);
    HeldLayer(const HeldLayer&) = delete;
    HeldLayer& operator=(const HeldLayer&) = delete;

    const LayerUnknowns& unknowns() const { return unknowns_; }
    const LayerSums& sums() const { return sums_; }
    void carve(Arena& arena);
    // Of an implicit layer, beside what is carved.
    std::int64_t solver_bytes() const { return implicit_ ? implicit_->solver_bytes() : 0; }

    // The first state: x, or with drive 0 and x as a source.
    void load(const T* x, Team& team);
    // V, and into the sums what is wanted beside it; diagonal: that of the matrices alone. Throws
    // LayerError where an implicit layer does not solve.
    double evaluate(const Parameters<T>& parameters, const LayerTarget<T>& target,
                    LayerDerivatives wanted, Team& team);
    // Goes on to z'; its V. An implicit layer goes on to that of the last evaluation, which was one
    // with the same parameters.
    double advance(const Parameters<T>& parameters, const LayerTarget<T>& target, Team& team);

private:
    // Cells of a block: its sums over the samples stay in the first-level cache.
    static constexpr std::int64_t kCells = 64;

    // What one worker keeps of a block: rows of as many entries as it may have cells.
    struct Scratch {
        T *pre, *f, *f_slope;  // of a group of samples, block_stride apart
        T *weights, *reached;
        // w d'(r) and w d'(r)/r over the batch, then times omega f' and its square.
        T *slope, *ratio;
        T *features, *product;
        T* sides;  // of an implicit layer: c
        double *loss, *gradient, *pairs;
        // dW/dp as stencils: [component][arm], and which of them are not zero everywhere.
        T* stencils;
        int* terms;  // component n_arms + arm
        int n_terms;
        T** stencil_pointers;
        const T **components, **directions;
        T *ones, *zeros;
    };
    // A block of cells, n of them from `cell` in C order, from `flat` in padded fields.
    struct Cells {
        std::int64_t cell, flat, n;
    };

    Fields<T> states(T* first) const { return {first, stride_}; }
    Fields<const T> states(const T* first) const { return {first, stride_}; }
    Rows rows(std::int64_t task) const {
        const std::int64_t n_rows = model_.geometry.layout().n_rows();
        return {n_rows * task / n_tasks_, n_rows * (task + 1) / n_tasks_};
    }
    static double sum_of(const double* values, std::int64_t n) {
        double sum = 0.0;
        for (std::int64_t i = 0; i < n; ++i) sum += values[i];
        return sum;
    }
    template <class F>
    void for_each_block(Rows rows, const F& f) const;
    Scratch carve_scratch(Arena& arena) const;
    void pack(const T* from, T* first, Team& team);
    void close(T* first, Team& team);
    void find_slopes(const Parameters<T>& parameters, const Cells& block, Scratch& work) const;
    void activate_group(const Layer<T>& layer, Fields<const T> z, std::int64_t first, int n_fields,
                        const Cells& block, bool wants_slope, Scratch& work) const;
    void find_features(const T* z, const Cells& block, Scratch& work) const;
    template <class Distance>
    void compare(const LayerTarget<T>& target, std::int64_t sample, const Cells& block,
                 const T* reached, const Distance& distance, Scratch& work) const;
    template <class Distance>
    void evaluate_block(const Layer<T>& layer, const LayerTarget<T>& target, const Cells& block,
                        LayerDerivatives wanted, const Distance& distance, Scratch& work) const;
    void accumulate(const Cells& block, LayerDerivatives wanted, Scratch& work) const;
    void distribute(const Cells& block, LayerDerivatives wanted, std::int64_t task, Scratch& work);
    void clear_sums();
    void combine();
    double mean_loss(std::int64_t n_sums) const;

    void carve_implicit(Arena& arena);
    void load_implicit(const T* x, Team& team);
    double evaluate_implicit(const Parameters<T>& parameters, const LayerTarget<T>& target,
                             LayerDerivatives wanted, Team& team);
    void compare_ends(const LayerTarget<T>& target, Team& team);
    void find_sides(const Layer<T>& layer, const Parameters<T>& parameters, std::int64_t sample,
                    const Cells& block, Scratch& work) const;
    void pull_back_block(const Layer<T>& layer, const Parameters<T>& parameters, const Cells& block,
                         LayerDerivatives wanted, Scratch& work) const;
    void find_answers(const Layer<T>& layer, const Parameters<T>& parameters, Team& team);
    void advance_implicit(Team& team);

    StencilModel<T> model_;
    std::int64_t batch_, stride_;
    std::int64_t n_tasks_;
    int n_workers_;
    LayerUnknowns unknowns_;
    std::optional<StencilCoefficients<T>> coefficients_;
    std::vector<Scratch> scratch_;
    T *state_ = nullptr, *next_ = nullptr, *drive_ = nullptr;
    T* growth_ = nullptr;  // beta (|z| - 1) of every sample
    LayerSums sums_;
    std::int64_t n_groups_;              // of samples that are advanced together
    OrderedSum* task_losses_ = nullptr;  // [group][task]
    OrderedSum* task_sums_ = nullptr;    // [task][shared gradient, shared matrix]

    // Of an implicit layer.
    std::optional<ImplicitLayers<T>> implicit_;
    double theta_ = 0.0, last_loss_ = 0.0;
    T* end_ = nullptr;                         // z' of the last evaluation, [sample][cell]
    T *pulled_ = nullptr, *ratios_ = nullptr;  // m and q, alike
    Parameters<T> scheme_parameters_;          // the last of them is the omega that schemes see
    T* scheme_omega_ = nullptr;
    // Where all coefficients are shared: J^-1 c of one sample, [worker][component][cell], and what
    // it adds to the matrix, [sample][triangle].
    T* answers_ = nullptr;
    double* answer_sums_ = nullptr;
};

template <class T>
template <class F>
void HeldLayer<T>::for_each_block(Rows rows, const F& f) const {
    model_.geometry.layout().for_each_pencil(
        rows.begin, rows.end, [&](std::int64_t cell, std::int64_t flat, std::int64_t length) {
            for (std::int64_t i = 0; i < length; i += kCells) {
                f(Cells{cell + i, flat + i, std::min(kCells, length - i)});
            }
        });
}

// The distance of one sample in a block is added to work.loss; its derivatives are set.
template <class T>
template <class Distance>
void HeldLayer<T>::compare(const LayerTarget<T>& target, std::int64_t sample, const Cells& block,
                           const T* reached, const Distance& distance, Scratch& work) const {
    const Grid& grid = *model_.config.grid;
    const std::int64_t n = block.n, at = sample * grid.n_cells() + block.cell;
    T* const w = work.weights;
    if (target.weights) {
        const T* from = target.weights + (target.weights_are_shared ? block.cell : at);
        std::copy(from, from + n, w);
    } else {
        std::fill(w, w + n, T(1));
    }
    for (std::int64_t i = 0; grid.has_mask() && i < n; ++i) {
        if (!grid.exists(block.cell + i)) w[i] = T(0);
    }
    const T* const y = target.y + at;
    const T* const x = target.part < 1.0 ? target.x + at : y;
    const T part = static_cast<T>(target.part);
    const T factor = static_cast<T>(Distance::kFactor / static_cast<double>(batch_));
    for (std::int64_t i = 0; i < n; ++i) {
        const T wanted = target.part < 1.0 ? x[i] + part * (y[i] - x[i]) : y[i];
        // What has no weight may be no number.
        const T r = w[i] == T(0) ? T(0) : reached[i] - wanted;
        work.loss[i] += static_cast<double>(w[i] * distance.value(r));
        work.slope[i] = factor * w[i] * distance.slope(r);
        work.ratio[i] = factor * w[i] * distance.ratio(r);
    }
}

}  // namespace relaxon
