// Sweeps of networks with a lift, a readout or both around the layers (Succi 2025, eqs. 1 and 3):
//
//     z_0 = g(A x + a),   layers,   y = h(B z_L + c)
//
// The layers are swept by a network without ends. The lift comes before it, for all samples at
// once; a readout is a loss of whole states to it, so that bundles of samples still pass through
// all layers on their own. First and last states, and their cotangents, are kept for all samples.
#pragma once

#include <memory>
#include <vector>

#include "relaxon/base/array.hpp"
#include "relaxon/network/state_loss.hpp"
#include "relaxon/operators/affine.hpp"
#include "relaxon/sweeps/make_sweep.hpp"

namespace relaxon {

template <class T>
class EndsSweep final : public Sweep<T>, private StateLoss<T> {
public:
    // takes_memory = false: only to be asked for its plan.
    EndsSweep(const NetworkConfig& config, const SweepRequest& request, bool takes_memory);

    const Plan& plan() const override { return plan_; }
    Evaluations evaluations() const override { return layers_->evaluations(); }
    std::optional<AttractorError> unsolved() const override { return layers_->unsolved(); }

    void forward(const Parameters<T>& parameters, const T* x, T* y, bool all_layers,
                 Team& team) override;
    void settle(const Parameters<T>& parameters, const T* x, T* y, double tolerance,
                std::int64_t* n_layers, Team& team) override;
    double loss(const Parameters<T>& parameters, const T* x, const Target<T>& target,
                Team& team) override;
    double value_and_gradient(const Parameters<T>& parameters, const T* x, const Target<T>& target,
                              const Gradients<T>& gradients, Team& team) override;
    void vjp(const Parameters<T>& parameters, const T* x, const T* y_bar,
             const Gradients<T>& gradients, Team& team) override;
    void jvp(const Parameters<T>& parameters, const Parameters<T>& parameters_dot, const T* x,
             const T* x_dot, T* y_dot, Team& team) override;
    Extreme find_extreme(const Parameters<T>& parameters, const T* x, Team& team) override;

private:
    // Memory of one end, all samples (the readout's: and all their targets).
    struct End {
        EndConfig config;
        std::size_t first_array = 0;  // its weight; its bias follows
        T* values = nullptr;          // z_0, or y
        T* slopes = nullptr;          // g' there, where there is a derivative; later s
        T* bars = nullptr;            // cotangents of `values`, or tangents
    };

    void carve(Arena& arena);
    NetworkConfig layers_config() const;
    SweepRequest layers_request() const;
    std::int64_t n_at() const { return static_cast<std::int64_t>(request_.at.size()); }
    AffineMap<T> lift_map(const Parameters<T>& parameters) const;
    AffineMap<T> readout_map(const Parameters<T>& parameters) const;
    template <class Pointers>
    void take_inner(const Pointers& all, Pointers& inner) const;

    const T* start(const Parameters<T>& parameters, const T* x, Team& team);
    template <class Through>
    void map(const Parameters<T>& parameters, const T* x, T* y, const Through& through, Team& team);
    void read_out(std::int64_t place, std::int64_t first, std::int64_t n);
    void read_out_all(Team& team);
    T* states() override { return states_; }
    const T* cotangents() const override { return state_bars_; }
    void evaluate(std::int64_t place, std::int64_t first, std::int64_t n, bool wants_cotangents,
                  double* losses) override;
    double output_loss(std::int64_t index, T* y_bar) const;
    double gradient_sweep(const Parameters<T>& parameters, const T* x, const Target<T>* target,
                          const T* y_bar, const Gradients<T>& gradients, Team& team);
    void finish_lift(const AffineMap<T>& map, const Gradients<T>& gradients, const T* x,
                     Team& team);
    void write_gradient(const End& end, std::int64_t n_out, std::int64_t n_in, const T* inputs,
                        std::int64_t n_samples, const Gradients<T>& gradients, Team& team) const;

    NetworkConfig config_;
    SweepRequest request_;
    std::int64_t n_cells_;
    std::unique_ptr<Sweep<T>> layers_;
    Plan plan_;
    Block memory_;
    End lift_, readout_;
    T* states_ = nullptr;      // with targets, (batch, n_at, cells); the last ones otherwise
    T* state_bars_ = nullptr;  // their cotangents, or tangents
    Parameters<T> inner_parameters_, inner_dot_;
    Gradients<T> inner_gradients_;
    // Of the sweep under way, for `evaluate`.
    AffineMap<T> readout_map_;
    const Target<T>* target_ = nullptr;
    const T* y_bar_ = nullptr;
};

}  // namespace relaxon
