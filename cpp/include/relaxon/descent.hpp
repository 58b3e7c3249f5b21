// Steepest descent W <- W - alpha dL/dW (Succi 2025, eq. 5) as a loop that stays in the core: it
// returns to the caller after a number of steps or a stretch of time, and goes on where it left.
//
//   fixed     v <- mu v - r g,  p <- p + v      (Polyak, USSR Comp. Math. 4 (1964) 1-17)
//   armijo    p <- p - t r g, t halved until F(p') <= F(p) - 1e-4 t sum r g^2
//             (Armijo, Pacific J. Math. 16 (1966) 1-3)
//   barzilai-borwein   t = sum s^2 / r / sum s y, s and y the last changes of p and g, cut back
//             likewise against the largest of the last ten F
//             (Barzilai and Borwein, IMA J. Numer. Anal. 8 (1988) 141-148; Raydan, SIAM J. Optim.
//             7 (1997) 26-33)
//
// r is a rate per parameter array, t a common factor; F is the loss with its penalties.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "relaxon/array.hpp"
#include "relaxon/network.hpp"

namespace relaxon {

enum class StepRule { fixed, armijo, barzilai_borwein };
enum class PenaltyKind { l2, smoothness };
enum class DescentStatus { running, converged, steps, patience, diverged };

struct Penalty {
    PenaltyKind kind;
    double strength;
    std::size_t array;  // index among the parameter arrays
};

// A step that was taken, with values at its start.
struct StepRecord {
    double loss, penalty, validation_loss, gradient_norm;
    double rate;  // t times the largest rate
};

template <class T>
struct DescentProblem {
    NetworkConfig config;
    SweepRequest request;
    Parameters<T> start;  // copied
    const T* x = nullptr;
    Target<T> target;
    std::int64_t n_validation = 0;  // samples, 0: no validation
    const T* x_validation = nullptr;
    Target<T> target_validation;
};

struct DescentOptions {
    StepRule rule = StepRule::fixed;
    std::vector<double> rates;  // per parameter array; 0: kept as it is
    double momentum = 0.0;
    double tolerance = 0.0;  // on the gradient norm, relative to the first one
    std::int64_t n_steps = 0;
    std::int64_t patience = -1;  // steps without a better validation loss, -1: no limit
    std::vector<Penalty> penalties;
};

template <class T>
class Descent {
public:
    Descent(const DescentProblem<T>& problem, const DescentOptions& options);

    // Takes steps until the end, `max_steps` more or `seconds` have passed; the records of these
    // steps are kept until the next call.
    DescentStatus advance(std::int64_t max_steps, double seconds, Team& team);

    const std::vector<StepRecord>& records() const { return records_; }
    std::int64_t step() const { return step_; }
    // Copies of the parameters, in the order of parameter_arrays.
    void copy_parameters(const std::vector<T*>& arrays) const { copy(parameters_, arrays); }
    // Those of the least validation loss.
    void copy_best(const std::vector<T*>& arrays) const { copy(best_, arrays); }
    // Those before the step that diverged, or the start.
    void copy_previous(const std::vector<T*>& arrays) const { copy(previous_, arrays); }
    const Plan& plan() const { return sweep_->plan(); }

private:
    struct Value {
        double loss, penalty;
        double total() const { return loss + penalty; }
    };

    void copy(const T* values, const std::vector<T*>& arrays) const;
    Value evaluate(const T* parameters, T* gradient, Team& team);
    double penalize(const T* parameters, T* gradient) const;
    template <class Term>
    double sum_over_parameters(const Term& term) const;
    void take_fixed_step();
    DescentStatus search_step(double bound, double slope, Team& team);
    double secant_factor() const;
    void validate(Team& team);
    DescentStatus take_step(Team& team);

    DescentProblem<T> problem_;
    DescentOptions options_;
    std::vector<ParameterArray> arrays_;
    std::vector<std::int64_t> offsets_;  // of each array, and the end
    std::unique_ptr<Sweep<T>> sweep_, validation_sweep_;
    Block memory_;
    Parameters<T> view_;
    Gradients<T> gradients_;
    T* parameters_;
    T* previous_;
    T* best_;
    T* gradient_;
    T* previous_gradient_;
    T* velocity_;  // fixed rule
    std::vector<StepRecord> records_;
    std::vector<double> recent_;  // the last totals, barzilai-borwein
    std::int64_t step_ = 0, best_step_ = 0;
    double first_norm_ = -1.0, best_validation_ = 0.0, validation_loss_ = 0.0;
    double factor_ = 1.0;  // t
    bool has_value_ = false, is_searching_ = false;
    Value value_{};
    DescentStatus status_ = DescentStatus::running;
};

}  // namespace relaxon
