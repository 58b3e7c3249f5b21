// Newton's method for fields on a line whose cells see their neighbours alone:
//
//     F(z) = z + e (a z - f(A z + c)) - r = 0,     J = 1 + a e - e f'(A z + c) A,
//
// a = 1 for implicit layers, a = 0 for attractors, e = 0 where no cell is. One pass over the field
// (line_cut.hpp) makes the step of an iteration, F and J at the new state, and eliminates. Only
// steps without row exchanges are taken, and halved where there is room for the state before: one
// whose J has a row that outweighs its diagonal entry, or from which no such step lowers the
// residual enough, is left to the general method (solvers/newton.hpp), of which this one is a part:
// same tests, same steps.
#pragma once

#include "relaxon/pointwise/activation.hpp"
#include "relaxon/solvers/line_lu.hpp"

namespace relaxon {

// In the order of cells.
template <class T>
struct LineSystem {
    ThreePoint<const T> matrix;  // A
    const T* shift = nullptr;    // c
    const T* rate = nullptr;     // e; null: 1
    T own_weight = T(1);         // a
    Activation activation = Activation::tanh;
};

// Solved where max|F| <= tolerance max(1, max|z|), or <= rounding times the largest sum of the
// sizes of a row's terms; those of Z weigh |e f'|, which is what F sees of their last digits.
struct LineTest {
    double tolerance, rounding;
    std::int64_t max_iterations;
    // Above rounding one more step follows, where it does not make the residual larger.
    bool is_polished = false;
};

struct LineMeasures;

// How a search ended; it is true where a root was found.
struct LineRoot {
    bool is_found = false;
    std::int64_t n_iterations = 0;
    double residual = 0.0, size = 0.0;  // max|F| and max|z|, before the last step of a polished one

    explicit operator bool() const { return is_found; }
};

template <class T>
class LineNewton {
public:
    // Of one field.
    struct Work {
        T *z, *right, *value, *fill, *ratio, *slope;  // where r = 0, right is value
        T* shift;     // c of this field alone, where it has a source
        T* previous;  // the state before a step, where steps may be halved
        Joints<T> joints;
        LineMeasures* measures;  // of the stretches
        bool has_right;          // of the system under way; else r = 0
    };

    explicit LineNewton(std::int64_t n) : cut_(n) {}

    const LineCut<T>& cut() const { return cut_; }
    // is_uniform: but for the ends of the line, all rows have the same coefficients.
    void carve(Arena& arena, bool has_rate = true, bool is_uniform = false);
    Work carve_work(Arena& arena, bool has_source = false, bool is_damped = false,
                    bool has_right = true) const;

    void set(const LineSystem<T>& system, Team* team);

    // What the next calls add to c for one field: x of networks with drive; null is 0.
    void take_source(const T* source, Work& work, Team* team) const;

    // From z, null: 0, to a root in `out`; right null: r = 0. Not found: left to the general
    // method, and `out` untouched. watch(residual) is called for every iterate, before the next one
    // is looked for.
    template <class Watch>
    LineRoot find_root(const T* z, const T* right, const LineTest& test, T* out, Work& work,
                       Team* team, const Watch& watch) const {
        take(z, right, work, team);
        pass(Step::none, work, team);
        LineRoot root;
        for (;; ++root.n_iterations) {
            const Look look = look_at(test, work);
            root.residual = look.residual;
            root.size = look.size;
            watch(look.residual);
            if (look.is_solved) {
                if (!test.is_polished || polish(test, look, work, team)) break;
                return root;
            }
            if (!look.goes_on || root.n_iterations == test.max_iterations) return root;
            if (!work.joints.solve()) return root;
            move_joints(work);
            pass(Step::full, work, team);
            // Those of the general method.
            constexpr double kDecrease = 1e-4, kLeast = 1.0 / 1024.0;
            for (double t = 1.0;; t /= 2) {
                const double found = look_at(test, work).residual;
                if (found <= (1.0 - kDecrease * t) * look.residual) break;
                if (!work.previous || t == kLeast) return root;
                halve(work, team);
            }
        }
        for_each_stretch(cut_, team, [&](const Stretch& stretch) {
            unpack(stretch, work.z + stretch.first, out);
        });
        root.is_found = true;
        return root;
    }

    // x = J^-1 b with J at z. False: it wants row exchanges, or has no inverse.
    bool solve(const T* z, const T* b, T* x, Work& work, Team* team) const;
    // m = J^-T b, s = e f' m, and f, each where it is not null. False as above, and nothing
    // written.
    bool solve_transposed(const T* z, const T* b, T* m, T* s, T* f, Work& work, Team* team) const;

    // max|F| at z, null: 0, for r = 0; no number where it is not finite.
    double residual(const T* z, Work& work, Team* team) const;
    // e f' at z.
    void find_slopes(const T* z, T* slopes, Work& work, Team* team) const;

private:
    enum class Step { none, full, half };
    enum class Mode { newton, solve, transposed };
    struct Look {
        double residual, size;
        bool is_solved, goes_on, is_rounded;
    };
    // In the packed order.
    struct Coefficients {
        ThreePoint<T> matrix;
        T *shift, *rate;

        void carve(Arena& arena, std::int64_t length, bool has_rate) {
            matrix.carve(arena, length);
            shift = arena.take<T>(length);
            rate = has_rate ? arena.take<T>(length) : nullptr;
        }
    };
    // Those of a stretch, from its first row on; all of them where `rows` is -1, where it is 0 that
    // row alone.
    struct View {
        const T *lower, *diagonal, *upper, *shift, *rate;
        std::int64_t rows;
    };

    std::int64_t place_of(const Stretch& stretch) const;
    View view_of(const Stretch& stretch) const;
    void take(const T* z, const T* right, Work& work, Team* team) const;
    void take_joints(Work& work, bool is_halved) const;
    void pass(Step step, Work& work, Team* team) const;
    void swap_states(Work& work) const;
    void halve(Work& work, Team* team) const;
    bool polish(const LineTest& test, const Look& look, Work& work, Team* team) const;
    Look look_at(const LineTest& test, const Work& work) const;
    bool is_regular(const Work& work) const;
    void move_joints(Work& work) const;
    template <Mode mode>
    void eliminate(const Stretch& stretch, Work& work, bool keeps_f) const;
    void step(const Stretch& stretch, Work& work) const;

    LineCut<T> cut_;
    bool is_uniform_ = false;
    // Of stretches with the same coefficients in all rows, a row of each; of the others, all rows.
    Coefficients shared_{}, own_{};
    std::int64_t* places_ = nullptr;  // of the stretches among the latter; -1: shared
    T own_weight_ = T(1);
    Activation activation_ = Activation::tanh;
};

}  // namespace relaxon
