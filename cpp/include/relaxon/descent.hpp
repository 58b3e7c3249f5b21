// Steepest descent W <- W - alpha dL/dW (Succi 2025, eq. 5) and Adam as a loop that stays in the
// core: it returns to the caller after a number of steps or a stretch of time, and goes on where it
// left. The formulas of the steps stand in iterate.hpp; how far they go:
//
//   fixed, adam   t from a schedule, or 1   (momentum: Polyak, USSR Comp. Math. 4 (1964) 1-17)
//   armijo        gradient step, t halved until F(p') <= F(p) - 1e-4 sum g (p - p')
//                 (Armijo, Pacific J. Math. 16 (1966) 1-3; along the projected arc: Bertsekas, IEEE
//                 Trans. Autom. Control 21 (1976) 174-184)
//   barzilai-borwein   gradient step, t = sum s^2 / r / sum s y, s and y the last changes of p and
//                 g, cut back likewise against the largest of the last ten F
//                 (Barzilai and Borwein, IMA J. Numer. Anal. 8 (1988) 141-148; Raydan, SIAM J.
//                 Optim. 7 (1997) 26-33; projected: Birgin, Martinez, Raydan, ibid. 10 (2000)
//                 1196-1211)
//   external      the caller chooses the points: judge, then evaluate and accept in turn
//
// F is the loss with its penalties. It has converged once the norm of the projected gradient has
// fallen to `tolerance` times its largest value of the first epoch, for all batches of an epoch.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "relaxon/array.hpp"
#include "relaxon/iterate.hpp"
#include "relaxon/network.hpp"
#include "relaxon/objective.hpp"

namespace relaxon {

enum class StepRule { fixed, adam, armijo, barzilai_borwein, external };
enum class DescentStatus { running, converged, steps, patience, diverged };

// A step that was taken, with values at its start; of the batch where there are batches.
struct StepRecord {
    double loss, penalty;
    double validation_loss;  // NaN where it was not evaluated: it is once per epoch
    double gradient_norm;    // projected
    double rate;             // t times the largest rate; external: step over gradient norm
};

template <class T>
struct DescentProblem {
    ObjectiveProblem<T> objective;
    Parameters<T> start;                                // copied; deviations of inputs start at 0
    std::vector<std::pair<const T*, const T*>> bounds;  // low and high, copied; empty: none
    std::int64_t n_validation = 0;                      // samples, 0: no validation
    const T* x_validation = nullptr;
    Target<T> target_validation;
};

struct DescentOptions {
    StepRule rule = StepRule::fixed;
    std::vector<double> rates;    // per array of the objective; 0: kept as it is
    std::vector<double> factors;  // t of every step (fixed, adam); empty: 1
    double momentum = 0.0;        // fixed
    AdamDecay decay;              // adam
    double tolerance = 0.0;
    std::int64_t n_steps = 0;
    std::int64_t patience = -1;  // steps without a better validation loss, -1: no limit
};

template <class T>
class Descent {
public:
    Descent(const DescentProblem<T>& problem, const DescentOptions& options);

    // Takes steps until the end, `max_steps` more or `seconds` have passed; the records of these
    // steps are kept until the next call.
    DescentStatus advance(std::int64_t max_steps, double seconds, Team& team);

    // What the present parameters say about going on; validates them.
    DescentStatus judge(Team& team);
    // F and its gradient at a point of the caller's, external rule. Points are flat.
    double evaluate(const double* point, double* gradient, Team& team);
    // The point evaluated last becomes the present one: a step.
    void accept();

    const std::vector<StepRecord>& records() const { return records_; }
    std::int64_t step() const { return step_; }
    std::int64_t size() const { return objective_.size(); }
    // Copies of the parameters, in the order of parameter_arrays.
    void copy_parameters(const std::vector<T*>& arrays) const { copy(iterate_.parameters, arrays); }
    // Those of the least validation loss.
    void copy_best(const std::vector<T*>& arrays) const { copy(best_, arrays); }
    // Those before the step that diverged, or the start.
    void copy_previous(const std::vector<T*>& arrays) const { copy(iterate_.previous, arrays); }
    // Numbers of all inputs, and the inputs x + spread xi of the present or the best parameters.
    std::int64_t n_inputs() const { return objective_.n_inputs(); }
    void copy_inputs(T* x, bool is_best) const {
        objective_.move_inputs(is_best ? best_ : iterate_.parameters, x);
    }
    const Plan& plan() const { return objective_.plan(); }

private:
    void make_iterate(const DescentProblem<T>& problem);
    void copy(const T* values, const std::vector<T*>& arrays) const;
    bool validate(Team& team);
    DescentStatus search_step(Team& team);
    DescentStatus take_step(Team& team);
    StepRecord begin_record() const;
    void end_step(const StepRecord& record);

    DescentOptions options_;
    Objective<T> objective_;
    std::unique_ptr<Sweep<T>> validation_sweep_;
    const T* x_validation_;
    Target<T> target_validation_;
    Block memory_;
    Iterate<T> iterate_;
    T* best_ = nullptr;
    T* trial_ = nullptr;  // external rule
    T* trial_gradient_ = nullptr;
    std::vector<StepRecord> records_;
    std::vector<double> recent_;  // the last totals, barzilai-borwein
    double largest_rate_;
    std::int64_t step_ = 0, best_step_ = 0, n_small_ = 0;
    double norm_ = 0.0, first_norm_ = 0.0, best_validation_ = 0.0, validation_loss_ = 0.0;
    double factor_ = 1.0;  // t
    bool has_value_ = false, is_searching_ = false;
    ObjectiveValue value_, trial_value_;
    DescentStatus status_ = DescentStatus::running;
};

}  // namespace relaxon
