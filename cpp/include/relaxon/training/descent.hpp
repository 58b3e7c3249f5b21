// Steepest descent W <- W - alpha dL/dW (Succi 2025, eq. 5) and Adam as a loop that stays in the
// core: it returns to the caller after a number of steps or a stretch of time, and goes on where it
// left. The rules stand in step_rules.hpp, their formulas in iterate.hpp; how far they go:
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

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "relaxon/base/array.hpp"
#include "relaxon/network/sweep.hpp"
#include "relaxon/training/iterate.hpp"
#include "relaxon/training/objective.hpp"
#include "relaxon/training/step_rules.hpp"

namespace relaxon {

enum class DescentStatus { running, converged, steps, patience, diverged };

// Losses that barzilai-borwein may exceed all but the largest of.
constexpr std::size_t kRecent = 10;

// A step that was taken, with values at its start; of the batch where there are batches.
struct StepRecord {
    double loss, penalty;
    double validation_loss;  // NaN where it was not evaluated: it is once per epoch
    double gradient_norm;    // projected
    double rate;             // t times the largest rate; external: step over gradient norm
};

template <class T>
struct StateArray {
    const char* name;
    T* values;
};

// What a descent remembers from step to step beside its arrays; the present mini-batch follows from
// the number of steps.
struct DescentProgress {
    std::int64_t step = 0, best_step = 0, n_small = 0, n_recent = 0;
    std::array<double, kRecent> recent{};  // the last totals, barzilai-borwein
    double norm = 0.0, first_norm = 0.0, best_validation = 0.0;
    double factor = 1.0;  // t
    ObjectiveValue value;
    StepRecord record{};                           // of the step that is being searched
    bool has_value = false, is_searching = false;  // a search that was cut short begins again
    DescentStatus status = DescentStatus::running;
};

template <class T>
struct DescentProblem {
    ObjectiveProblem<T> objective;
    Parameters<T> start;                                // copied; deviations of inputs start at 0
    std::vector<std::pair<const T*, const T*>> bounds;  // low and high, copied; empty: none
    // Null: none; the start is moved, too. Not with the external rule.
    std::shared_ptr<const Constraint> constraint;
    std::int64_t n_validation = 0;  // samples, 0: no validation
    const T* x_validation = nullptr;
    Target<T> target_validation;
};

struct DescentOptions {
    StepRule rule = StepRule::fixed;
    std::vector<double> rates;    // per array of the objective; 0: kept as it is
    std::vector<double> factors;  // t of every step, without a search; empty: 1
    StepSettings settings;
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

    // External rule: what an earlier evaluation of a point gave stands for evaluating it again,
    // and a validation loss for that of the next judgement.
    void replay(const double* point, const T* gradient, const ObjectiveValue& value);
    void replay_validation(double loss) { known_validation_ = loss; }
    const ObjectiveValue& trial_value() const { return trial_value_; }
    double validation_loss() const { return validation_loss_; }

    // All that the next step depends on, between two calls. Arrays of size() numbers.
    const DescentProgress& progress() const { return progress_; }
    std::vector<StateArray<T>> state_arrays() const;
    // Takes up the state of another descent on the same problem; the arrays have been filled.
    void resume(const DescentProgress& progress);

    const std::vector<StepRecord>& records() const { return records_; }
    std::int64_t step() const { return progress_.step; }
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
    void begin_search();
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
    double largest_rate_;
    double validation_loss_ = 0.0;
    double known_validation_ = std::numeric_limits<double>::quiet_NaN();
    ObjectiveValue trial_value_;
    DescentProgress progress_;
};

}  // namespace relaxon
