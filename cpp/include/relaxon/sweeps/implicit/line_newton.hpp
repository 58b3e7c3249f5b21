// Newton's method for fields on a line whose cells see their neighbours alone:
//
//     F(z) = z + e (a z - f(A z + c)) - r = 0,     J = 1 + a e - e f'(A z + c) A,
//
// a = 1 for implicit layers, a = 0 for attractors, e = 0 where no cell is. One pass over the field
// (line_cut.hpp) makes the step of an iteration, F and J at the new state, and eliminates. Only
// full steps without row exchanges are taken: a state whose J has a row that outweighs its diagonal
// entry, or from which a full step does not lower the residual enough, is left to the general
// method (solvers/newton.hpp), of which this one is a part: same tests, same steps.
#pragma once

#include "relaxon/pointwise/activation.hpp"
#include "relaxon/solvers/line_lu.hpp"

namespace relaxon {

// In the order of cells.
template <class T>
struct LineSystem {
    ThreePoint<const T> matrix;  // A
    const T* shift = nullptr;    // c
    const T* rate = nullptr;     // e
    T own_weight = T(1);         // a
    Activation activation = Activation::tanh;
};

// Solved where max|F| <= tolerance max(1, max|z|), or <= rounding times the largest sum of the
// sizes of a row's terms.
struct LineTest {
    double tolerance, rounding;
    std::int64_t max_iterations;
};

struct LineMeasures;

template <class T>
class LineNewton {
public:
    // Of one field.
    struct Work {
        T *z, *right, *value, *fill, *ratio, *slope;
        Joints<T> joints;
        LineMeasures* measures;  // of the stretches
    };

    explicit LineNewton(std::int64_t n) : cut_(n) {}

    const LineCut<T>& cut() const { return cut_; }
    void carve(Arena& arena);
    Work carve_work(Arena& arena) const;

    void set(const LineSystem<T>& system, Team* team);

    // From z to a root in `out`. False: left to the general method, and `out` untouched. poll is
    // called between iterations.
    template <class Poll>
    bool find_root(const T* z, const T* right, const LineTest& test, T* out, Work& work, Team* team,
                   const Poll& poll) const {
        load(z, right, work, team);
        pass(Step::none, work, team);
        for (std::int64_t n_iterations = 0;; ++n_iterations) {
            const Look look = look_at(test, work);
            if (look.is_solved) break;
            if (!look.goes_on || n_iterations == test.max_iterations) return false;
            poll();
            if (!work.joints.solve()) return false;
            move_joints(work);
            pass(Step::full, work, team);
            // The one of the general method.
            constexpr double kDecrease = 1e-4;
            if (!(look_at(test, work).residual <= (1.0 - kDecrease) * look.residual)) return false;
        }
        for_each_stretch(cut_, team, [&](const Stretch& stretch) {
            unpack(stretch, work.z + stretch.first, out);
        });
        return true;
    }

    // x = J^-1 b with J at z. False: it wants row exchanges, or has no inverse.
    bool solve(const T* z, const T* b, T* x, Work& work, Team* team) const;
    // m = J^-T b, s = e f' m, and f where that is not null. False as above, and nothing written.
    bool solve_transposed(const T* z, const T* b, T* m, T* s, T* f, Work& work, Team* team) const;

private:
    enum class Step { none, full };
    enum class Mode { newton, solve, transposed };
    struct Look {
        double residual;
        bool is_solved, goes_on;
    };

    void load(const T* z, const T* right, Work& work, Team* team) const;
    void pass(Step step, Work& work, Team* team) const;
    Look look_at(const LineTest& test, const Work& work) const;
    bool is_regular(const Work& work) const;
    void move_joints(Work& work) const;
    template <Mode mode>
    void eliminate(const Stretch& stretch, Work& work, bool keeps_f) const;
    void step(const Stretch& stretch, Work& work) const;

    LineCut<T> cut_;
    ThreePoint<T> matrix_;  // in the packed order, as all below
    T *shift_ = nullptr, *rate_ = nullptr;
    T own_weight_ = T(1);
    Activation activation_ = Activation::tanh;
};

}  // namespace relaxon
