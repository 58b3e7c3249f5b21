// Training on the fly (Succi 2025, sec. 7, after Car and Parrinello, PRL 55 (1985) 2471): layer
// after layer, each with the state it is given, z, held while its parameters p lower V(p), the
// distance of layer(z; p) from y with the penalties; then z <- layer(z; p), and the next layer
// begins from these p. The chain rule never crosses a layer.
//
//     newton         p <- p - (H + ridge tr(H)/n 1)^-1 V'(p)
//     descent        p <- p - rate V'(p) / (n H_j)
//     second-order   M_j = mass n H_j;  v -= tau/2 M^-1 V'(p);  p += tau v;  v -= tau/2 M^-1 V'(p);
//                    v *= exp(-friction tau)   (velocity Verlet; v goes on from layer to layer)
//
// H: the Gauss-Newton matrix (held_layer.hpp), of every cell where coefficients are local, and
// tr(H)/n its mean over the existing cells; n: parameters of a cell; H_j: largest diagonal entry of
// array j. Penalties are part of V and of H; smoothness couples the cells, see smooth_blocks.hpp.
// With friction 0 and z held, V + sum M v^2 / 2 is conserved to O(tau^2). Steps of newton and
// descent after which V of an implicit layer has not fallen by a quarter of what V' promises, or
// which leave it without end, are halved; and where V is less with the parameters that the first
// layer was given, an implicit layer begins from these.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "relaxon/base/array.hpp"
#include "relaxon/network/sweep.hpp"
#include "relaxon/sweeps/stencil/held_layer.hpp"
#include "relaxon/training/objective.hpp"
#include "relaxon/training/smooth_blocks.hpp"

namespace relaxon {

enum class LayerMethod { newton, descent, second_order };

struct OnTheFlyOptions {
    LayerMethod method = LayerMethod::newton;
    std::int64_t inner_steps = 1;
    double ridge = 1e-2;                           // newton
    double rate = 1.0;                             // descent
    double mass = 1.0, friction = 0.3, tau = 1.0;  // second-order
    bool follows_path = false;  // targets on the way from x to y, y / L nearer with every layer
};

template <class T>
struct OnTheFlyProblem {
    NetworkConfig config;  // explicit or implicit layers over a layered stencil, without ends
    std::int64_t batch = 1;
    int n_threads = 1;
    std::int64_t memory_bytes = -1;  // the budget; -1: none
    const T* x = nullptr;
    Target<T> target;
    std::vector<Penalty> penalties;
    const T* omega = nullptr;    // in the place of gamma, too
    std::vector<T*> parameters;  // all layers, without omega: the start in the first; become theirs
};

// Of one layer: V at the parameters that it begins with and at its own.
struct LayerRecord {
    double loss_before = 0.0, penalty_before = 0.0, gradient_norm = 0.0;
    double loss = 0.0, penalty = 0.0;
    double kinetic_energy = 0.0;  // second-order: sum M v^2 / 2
};

template <class T>
class OnTheFly {
public:
    OnTheFly(const OnTheFlyProblem<T>& problem, const OnTheFlyOptions& options);

    // All layers; false where V has left the finite numbers or 10 times its first value, in the
    // layer of the last record, or where that does not solve. Interrupted leaves the records of the
    // layers that are done.
    bool run(Team& team);
    // Why the last layer did not solve; empty where it did.
    const std::string& failure() const { return failure_; }
    const std::vector<LayerRecord>& records() const { return records_; }
    std::int64_t total_bytes() const { return total_bytes_; }

private:
    struct Value {
        double loss = 0.0, penalty = 0.0;
        double total() const { return loss + penalty; }
    };

    void find_strengths();
    void carve(Arena& arena);
    bool train_layer(std::int64_t layer, LayerRecord& record, Team& team);
    bool is_lost(const Value& value) const;
    bool is_implicit() const { return std::holds_alternative<Theta>(layer_config_.dynamics); }
    Value evaluate(LayerDerivatives wanted, Team& team);
    double penalize(LayerDerivatives wanted);
    double gradient_norm();
    void find_newton_step(Team& team);
    void find_descent_step();
    void move(double part);
    void choose_start(Team& team);
    void keep_gradient();
    double promise();
    void take_implicit_step(double before, Team& team);
    Value take_dynamic_step(Team& team);
    void find_scales();
    void kick();
    double kinetic_energy();
    template <class F>
    void for_each_unknown(const F& f);

    OnTheFlyProblem<T> problem_;
    OnTheFlyOptions options_;
    NetworkConfig layer_config_;
    HeldLayer<T> layer_;
    std::int64_t n_cells_, n_existing_ = 0;
    Block memory_;
    std::int64_t total_bytes_ = 0;
    Parameters<T> view_;          // of the present layer, omega last
    std::vector<T*> parameters_;  // the same, to be moved
    SmoothBlocks system_;         // newton
    bool is_smooth_ = false;
    double* smoothness_ = nullptr;  // the diagonal, with a strength of 1
    double* scratch_ = nullptr;
    LayerTarget<T> target_;
    double first_value_ = 0.0;
    double* velocity_ = nullptr;  // [local][cell]
    std::vector<double> shared_velocity_;
    double* gradient_ = nullptr;  // of implicit layers, before a step is made of it
    std::vector<double> shared_gradient_;
    std::vector<std::vector<T>> start_;  // what the first layer was given
    std::vector<double> scales_;         // n H_j of every array
    std::vector<LayerRecord> records_;
    std::string failure_;
};

}  // namespace relaxon
