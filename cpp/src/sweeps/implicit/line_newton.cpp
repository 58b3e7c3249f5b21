#include "relaxon/sweeps/implicit/line_newton.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "relaxon/solvers/line_elimination.hpp"

namespace relaxon {

// Of a stretch, the largest: |F|, |z|, and sum of the sizes of a row's terms, those of Z times f'.
struct LineMeasures {
    double residual, size, terms;
    bool is_dominant, is_finite;
};

namespace {

// Rows of a stretch that go through f together.
constexpr std::int64_t kBlockRows = 32;

template <class T>
double largest(Pack<T> values) {
    T found = T(0);
    for (std::size_t lane = 0; lane < kPackWidth<T>; ++lane) found = std::max(found, values[lane]);
    return static_cast<double>(found);
}

template <class T>
Pack<T> half_way(const T* z, const T* before) {
    return T(0.5) * (load(z) + load(before));
}

template <class T>
bool are_equal(const T* values, std::int64_t n) {
    return std::all_of(values + 1, values + n, [&](T value) { return value == *values; });
}

}  // namespace

template <class T>
void LineNewton<T>::carve(Arena& arena, bool has_rate, bool is_uniform) {
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    is_uniform_ = is_uniform;
    shared_.carve(arena, cut_.n_stretches() * lanes, has_rate);
    const std::int64_t at_ends = 3 * cut_.stretch(0).rows * lanes;
    own_.carve(arena, is_uniform ? at_ends : cut_.length(), has_rate);
    places_ = arena.take<std::int64_t>(cut_.n_stretches());
}

// Of a stretch's own rows; -1: there is none.
template <class T>
std::int64_t LineNewton<T>::place_of(const Stretch& stretch) const {
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    if (!is_uniform_) return stretch.first;
    const std::int64_t i = stretch.piece / lanes, after = cut_.n_stretches() - 1 - i;
    if (i > 0 && after > 1) return -1;
    return (i == 0 ? 0 : 1 + after) * cut_.stretch(0).rows * lanes;
}

template <class T>
typename LineNewton<T>::View LineNewton<T>::view_of(const Stretch& stretch) const {
    const std::int64_t place = places_[stretch.piece / LineCut<T>::kLanes];
    const Coefficients& all = place < 0 ? shared_ : own_;
    const std::int64_t first = place < 0 ? stretch.piece : place;
    return {
        all.matrix.lower + first, all.matrix.diagonal + first,           all.matrix.upper + first,
        all.shift + first,        all.rate ? all.rate + first : nullptr, place < 0 ? 0 : -1};
}

template <class T>
typename LineNewton<T>::Work LineNewton<T>::carve_work(Arena& arena, bool has_source,
                                                       bool is_damped, bool has_right) const {
    Work work{};
    if (has_source) work.shift = arena.take<T>(cut_.length());
    for (T** array : {&work.z, &work.value, &work.fill, &work.ratio, &work.slope}) {
        *array = arena.take<T>(cut_.length());
    }
    // Solves with the transpose need no state before, and a right side gives its place to a value.
    if (is_damped) work.previous = work.slope;
    work.right = has_right ? arena.take<T>(cut_.length()) : work.value;
    work.joints.carve(arena, cut_);
    work.measures = arena.take<LineMeasures>(cut_.n_stretches());
    return work;
}

template <class T>
void LineNewton<T>::set(const LineSystem<T>& system, Team* team) {
    own_weight_ = system.own_weight;
    activation_ = system.activation;
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    const ThreePoint<const T>& matrix = system.matrix;
    const T* const cells[] = {matrix.lower, matrix.diagonal, matrix.upper, system.shift,
                              system.rate};
    const auto arrays_of = [](const Coefficients& all) {
        return std::array<T*, 5>{all.matrix.lower, all.matrix.diagonal, all.matrix.upper, all.shift,
                                 all.rate};
    };
    const std::array<T*, 5> shared = arrays_of(shared_), own = arrays_of(own_);
    const std::size_t n_arrays = own_.rate ? 5 : 4;
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        // Lanes without a piece have coefficients of their own, which are zero.
        const bool is_same =
            stretch.n_pieces == lanes && std::all_of(cells, cells + n_arrays, [&](const T* array) {
                return are_equal(array + stretch.first, stretch.rows * lanes);
            });
        const std::int64_t place = is_same ? -1 : place_of(stretch);
        places_[stretch.piece / lanes] = place;
        for (std::size_t k = 0; k < n_arrays; ++k) {
            if (place < 0) {
                store(shared[k] + stretch.piece, broadcast(cells[k][stretch.first]));
            } else {
                pack(stretch, cells[k], own[k] + place);
            }
        }
    });
}

template <class T>
void LineNewton<T>::take_source(const T* source, Work& work, Team* team) const {
    if (!work.shift) return;
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        const View shared = view_of(stretch);
        T* shift = work.shift + stretch.first;
        pack(stretch, source, shift);
        for (std::int64_t i = 0; i < stretch.rows * lanes; i += lanes) {
            store(shift + i, load(shift + i) + load(shared.shift + (i & shared.rows)));
        }
    });
}

// The state, that at the joints, and the right side.
template <class T>
void LineNewton<T>::take(const T* z, const T* right, Work& work, Team* team) const {
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    work.has_right = right != nullptr;
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        T* packed = work.z + stretch.first;
        T* packed_right = work.right + stretch.first;
        if (z) {
            pack(stretch, z, packed);
        } else {
            std::fill(packed, packed + stretch.rows * lanes, T(0));
        }
        if (!right) return;
        if (right == z) {
            std::copy(packed, packed + stretch.rows * lanes, packed_right);
        } else {
            pack(stretch, right, packed_right);
        }
    });
    take_joints(work, false);
}

// The state there, and in the last row of each piece, or that half way from the state before.
template <class T>
void LineNewton<T>::take_joints(Work& work, bool is_halved) const {
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    for_each_stretch(cut_, nullptr, [&](const Stretch& stretch) {
        const auto state = [&](std::int64_t place) {
            return is_halved ? half_way(work.z + place, work.previous + place)
                             : load(work.z + place);
        };
        store(work.joints.z + stretch.piece, state(stretch.first));
        store(work.joints.last_z + stretch.piece,
              state(stretch.first + (stretch.rows - 1) * lanes));
    });
    work.joints.close(work.joints.z);
    work.joints.close(work.joints.last_z);
}

// J at the state in work.z, the right side that `mode` asks for, and what is left of both for the
// joints. Of newton, the right side is -F, and the measures are taken. transposed leaves what the
// way back multiplies by the inverse pivots.
template <class T>
template <typename LineNewton<T>::Mode mode>
void LineNewton<T>::eliminate(const Stretch& stretch, Work& work, bool keeps_f) const {
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    constexpr bool is_newton = mode == Mode::newton, is_transposed = mode == Mode::transposed;
    const Joints<T>& joints = work.joints;
    const std::int64_t first = stretch.first, end = stretch.rows * lanes;
    const T* z = work.z + first;
    alignas(64) T zeros[lanes], ones[lanes];
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
        zeros[lane] = T(0);
        ones[lane] = lane < stretch.n_pieces ? T(1) : T(0);
    }
    T* right = work.has_right ? work.right + first : zeros;
    T* value = work.value + first;
    T* fill = work.fill + first;
    T* ratio = work.ratio + first;
    const View view = view_of(stretch);
    const T *lower = view.lower, *diagonal = view.diagonal, *upper = view.upper;
    const T* shift = work.shift ? work.shift + first : view.shift;
    const T* rate = view.rate ? view.rate : ones;
    const std::int64_t own_rows = view.rows;
    const std::int64_t shift_rows = work.shift ? -1 : own_rows;
    const std::int64_t rate_rows = view.rate ? own_rows : 0;
    const std::int64_t right_rows = work.has_right ? -1 : 0;
    const Pack<T> before_first = load(joints.last_z + stretch.piece - 1);
    const Pack<T> after_last = load(joints.z + stretch.piece + 1);
    const auto at = [&](std::int64_t i) __attribute__((always_inline)) {
        return i < 0 ? before_first : i < end ? load(z + i) : after_last;
    };
    alignas(64) T pre[kBlockRows * lanes], f[kBlockRows * lanes], slope[kBlockRows * lanes];

    LineElimination<T> rows(Pack<T>{}, Pack<T>{}, Pack<T>{});
    Pack<T> known = {}, joint_right = {};
    Pack<T> residual = {}, size = {}, terms = {}, poison = {};
    Mask<T> fails = {};
    for (std::int64_t begin = 0; begin < end; begin += kBlockRows * lanes) {
        const std::int64_t stop = std::min(begin + kBlockRows * lanes, end);
        for (std::int64_t i = begin; i < stop; i += lanes) {
            store(pre + (i - begin), load(lower + (i & own_rows)) * at(i - lanes) +
                                         load(diagonal + (i & own_rows)) * load(z + i) +
                                         load(upper + (i & own_rows)) * at(i + lanes) +
                                         load(shift + (i & shift_rows)));
        }
        activate_with_derivative(activation_, pre, f, slope,
                                 static_cast<std::size_t>(stop - begin));
        for (std::int64_t i = begin; i < stop; i += lanes) {
            const Pack<T> e = load(rate + (i & rate_rows));
            const Pack<T> own = T(1) + own_weight_ * e;
            const Pack<T> factor = e * load(slope + (i - begin));
            const Pack<T> l = load(lower + (i & own_rows)), u = load(upper + (i & own_rows));
            const Pack<T> d = load(diagonal + (i & own_rows));
            const Pack<T> below = -(factor * l), centre = own - factor * d, above = -(factor * u);
            fails |= ~(abs(centre) >= abs(below) + abs(above));
            Pack<T> b = load(right + (i & right_rows));
            if constexpr (is_newton) {
                const Pack<T> here = load(z + i);
                const Pack<T> left = b - here;
                const Pack<T> pull = own_weight_ * here - load(f + (i - begin));
                const Pack<T> sum = abs(l * at(i - lanes)) + abs(d * here) +
                                    abs(u * at(i + lanes)) + abs(load(shift + (i & shift_rows)));
                const Pack<T> image = e * abs(load(f + (i - begin))) + abs(factor) * sum;
                terms = max(terms, abs(b) + own * abs(here) + image);
                b = left - e * pull;
                residual = max(residual, abs(b));
                size = max(size, abs(here));
                poison += b - b;
            }
            if constexpr (is_transposed) {
                store(work.slope + first + i, factor);
                if (keeps_f) store(right + i, load(f + (i - begin)));
            }
            if (i == 0) {
                rows = LineElimination<T>(below, centre, above);
                joint_right = b;
                continue;
            }
            const Pack<T> before_inverse = rows.inverse(), before_ratio = rows.ratio();
            rows.take(below, centre, above);
            poison += rows.inverse() - rows.inverse();
            if constexpr (is_transposed) {
                // What row i - 1 has in its column, and the joint's row in this one.
                store(ratio + i - lanes, below * before_inverse);
                known = b - before_ratio * known;
                joint_right -= rows.fill() * known;
                store(value + i, known * rows.inverse());
                store(fill + i, rows.bottom() * rows.inverse());
            } else {
                known = (b - below * known) * rows.inverse();
                joint_right -= rows.bottom() * known;
                store(value + i, known);
                store(fill + i, rows.fill());
                store(ratio + i, rows.ratio());
            }
        }
    }
    rows.finish(stretch, joints);
    store(joints.right + stretch.piece, joint_right);
    store(joints.last_value + stretch.piece, known);
    work.measures[stretch.piece / lanes] = {largest<T>(residual), largest<T>(size),
                                            largest<T>(terms), !any(fails),
                                            horizontal_sum(poison) == T(0)};
}

// The state moved by the solution that is left in the joints, from where there is room to keep it.
template <class T>
void LineNewton<T>::step(const Stretch& stretch, Work& work) const {
    T* z = work.z + stretch.first;
    const T* from = (work.previous ? work.previous : work.z) + stretch.first;
    const std::int64_t end = stretch.rows * LineCut<T>::kLanes;
    substitute(stretch, work.joints, work.value + stretch.first, work.fill + stretch.first,
               work.ratio + stretch.first, end,
               [&](std::int64_t i, Pack<T> x) { store(z + i, load(from + i) + x); });
}

template <class T>
void LineNewton<T>::pass(Step kind, Work& work, Team* team) const {
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    if (kind == Step::full && work.previous) swap_states(work);
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        if (kind == Step::full) step(stretch, work);
        if (kind == Step::half) {
            for (std::int64_t i = 0; i < stretch.rows * lanes; i += lanes) {
                T* z = work.z + stretch.first + i;
                store(z, half_way(z, work.previous + stretch.first + i));
            }
        }
        eliminate<Mode::newton>(stretch, work, false);
    });
    work.joints.close_factors();
}

// Slopes have the place of the state before.
template <class T>
void LineNewton<T>::swap_states(Work& work) const {
    std::swap(work.z, work.previous);
    work.slope = work.previous;
}

// Half of the step that led to the state.
template <class T>
void LineNewton<T>::halve(Work& work, Team* team) const {
    take_joints(work, true);
    pass(Step::half, work, team);
}

// False: J at the root wants row exchanges, or has no inverse.
template <class T>
bool LineNewton<T>::polish(const LineTest& test, const Look& look, Work& work, Team* team) const {
    if (look.is_rounded) return true;
    if (!look.goes_on || !work.joints.solve()) return false;
    move_joints(work);
    pass(Step::full, work, team);
    if (!(look_at(test, work).residual <= look.residual)) swap_states(work);
    return true;
}

template <class T>
double LineNewton<T>::residual(const T* z, Work& work, Team* team) const {
    take(z, nullptr, work, team);
    pass(Step::none, work, team);
    const bool is_finite = std::all_of(work.measures, work.measures + cut_.n_stretches(),
                                       [](const LineMeasures& at) { return at.is_finite; });
    return is_finite ? look_at({}, work).residual : std::numeric_limits<double>::quiet_NaN();
}

template <class T>
void LineNewton<T>::find_slopes(const T* z, T* slopes, Work& work, Team* team) const {
    take(z, nullptr, work, team);
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        eliminate<Mode::transposed>(stretch, work, false);
        unpack(stretch, work.slope + stretch.first, slopes);
    });
}

template <class T>
void LineNewton<T>::move_joints(Work& work) const {
    Joints<T>& joints = work.joints;
    for (std::int64_t k = 0; k < joints.n; ++k) {
        joints.z[k] += joints.x[k];
        joints.last_z[k] += joints.last_x[k];
    }
    joints.close(joints.z);
    joints.close(joints.last_z);
}

template <class T>
typename LineNewton<T>::Look LineNewton<T>::look_at(const LineTest& test, const Work& work) const {
    LineMeasures most{0.0, 0.0, 0.0, true, true};
    for (std::int64_t i = 0; i < cut_.n_stretches(); ++i) {
        const LineMeasures& at = work.measures[i];
        most.residual = std::max(most.residual, at.residual);
        most.size = std::max(most.size, at.size);
        most.terms = std::max(most.terms, at.terms);
        most.is_dominant = most.is_dominant && at.is_dominant;
        most.is_finite = most.is_finite && at.is_finite;
    }
    const bool is_rounded = most.residual <= test.rounding * most.terms;
    const bool is_small = is_rounded || most.residual <= test.tolerance * std::max(1.0, most.size);
    return {most.residual, most.size, most.is_finite && is_small,
            most.is_finite && most.is_dominant, is_rounded};
}

template <class T>
bool LineNewton<T>::is_regular(const Work& work) const {
    return std::all_of(work.measures, work.measures + cut_.n_stretches(),
                       [](const LineMeasures& at) { return at.is_dominant && at.is_finite; });
}

template <class T>
bool LineNewton<T>::solve(const T* z, const T* b, T* x, Work& work, Team* team) const {
    take(z, b, work, team);
    for_each_stretch(cut_, team,
                     [&](const Stretch& stretch) { eliminate<Mode::solve>(stretch, work, false); });
    work.joints.close_factors();
    if (!is_regular(work) || !work.joints.solve()) return false;
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        T* value = work.value + stretch.first;
        const std::int64_t end = stretch.rows * LineCut<T>::kLanes;
        substitute(stretch, work.joints, value, work.fill + stretch.first,
                   work.ratio + stretch.first, end,
                   [&](std::int64_t i, Pack<T> at) { store(value + i, at); });
        unpack(stretch, value, x);
    });
    return true;
}

template <class T>
bool LineNewton<T>::solve_transposed(const T* z, const T* b, T* m, T* s, T* f, Work& work,
                                     Team* team) const {
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    take(z, b, work, team);
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        eliminate<Mode::transposed>(stretch, work, f != nullptr);
    });
    Joints<T>& joints = work.joints;
    joints.close_factors();
    if (!is_regular(work) || !joints.solve_transposed()) return false;
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        T* value = work.value + stretch.first;
        T* source = work.slope + stretch.first;
        const T* fill = work.fill + stretch.first;
        const T* ratio = work.ratio + stretch.first;
        const Pack<T> joint = load_up_to(joints.x + stretch.piece, stretch.n_pieces);
        const std::int64_t last = (stretch.rows - 1) * lanes;
        Pack<T> after = load(joints.x + stretch.piece + 1);
        Pack<T> below =
            load(joints.lower + stretch.piece + 1) * load(joints.last_inverse + stretch.piece);
        for (std::int64_t i = last; i >= 0; i -= lanes) {
            if (i == 0) {
                after = joint;
            } else {
                after = (load(value + i) - load(fill + i) * joint) - below * after;
                below = load(ratio + i - lanes);
            }
            store(value + i, after);
            store(source + i, load(source + i) * after);
        }
        if (m) unpack(stretch, value, m);
        if (s) unpack(stretch, source, s);
        if (f) unpack(stretch, work.right + stretch.first, f);
    });
    return true;
}

#define RELAXON_INSTANTIATE(T) template class LineNewton<T>;
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
