#include "relaxon/solvers/line_lu.hpp"

#include <algorithm>
#include <atomic>
#include <limits>

#include "relaxon/solvers/line_elimination.hpp"

namespace relaxon {

template <class T>
void LineLu<T>::carve(Arena& arena) {
    packed_.carve(arena, cut_.length());
    for (T** array : {&ratio_, &fill_, &inverse_, &bottom_}) *array = arena.take<T>(cut_.length());
    settled_ = arena.take<std::int64_t>(cut_.n_stretches());
    joints_.carve(arena, cut_);
}

template <class T>
typename LineLu<T>::Work LineLu<T>::carve_work(Arena& arena) const {
    Work work{};
    work.joints.carve(arena, cut_);
    return work;
}

template <class T>
bool LineLu<T>::factorise(Team* team) {
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    std::atomic<bool> is_dominant{true};
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        T* lower = packed_.lower + stretch.first;
        T* diagonal = packed_.diagonal + stretch.first;
        T* upper = packed_.upper + stretch.first;
        alignas(64) T packed[LineCut<T>::kStretch];
        for (T* array : {packed_.lower, packed_.diagonal, packed_.upper}) {
            pack(stretch, array, packed);
            std::copy(packed, packed + stretch.rows * lanes, array + stretch.first);
        }
        for (std::int64_t lane = stretch.n_pieces; lane < lanes; ++lane) diagonal[lane] = T(1);
        Mask<T> fails = {};
        const auto look = [&](std::int64_t i) {
            fails |= ~(abs(load(diagonal + i)) >= abs(load(lower + i)) + abs(load(upper + i)));
        };
        look(0);
        constexpr T kRounding = std::numeric_limits<T>::epsilon();
        const Pack<T> least = broadcast(kRounding * kRounding);
        const Pack<T> least_below = least * abs(load(diagonal));
        const Pack<T> zero = {};
        LineElimination<T> rows(load(lower), load(diagonal), load(upper));
        for (std::int64_t i = lanes; i < stretch.rows * lanes; i += lanes) {
            look(i);
            rows.take(load(lower + i), load(diagonal + i), load(upper + i));
            store(ratio_ + stretch.first + i, rows.ratio());
            store(fill_ + stretch.first + i, select(abs(rows.fill()) < least, zero, rows.fill()));
            store(inverse_ + stretch.first + i, rows.inverse());
            store(bottom_ + stretch.first + i,
                  select(abs(rows.bottom()) < least_below, zero, rows.bottom()));
        }
        rows.finish(stretch, joints_);
        std::int64_t settled = (stretch.rows - 1) * lanes;
        const auto is_that_before = [&](const T* array) {
            const T* row = array + stretch.first + settled;
            return !any(load(row) != load(row - lanes));
        };
        while (settled > lanes && is_that_before(packed_.lower) && is_that_before(ratio_) &&
               is_that_before(fill_) && is_that_before(inverse_) && is_that_before(bottom_)) {
            settled -= lanes;
        }
        settled_[stretch.piece / lanes] = settled;
        if (any(fails)) is_dominant = false;
    });
    if (!is_dominant) return false;
    joints_.close_factors();
    std::fill(joints_.right, joints_.right + joints_.n, T(0));
    std::fill(joints_.last_value, joints_.last_value + joints_.n, T(0));
    return joints_.solve();
}

namespace {

// The factorisation's numbers of the joints, beside a right side of their own.
template <class T>
Joints<T> with_own_right(const Joints<T>& factors, const Joints<T>& own) {
    Joints<T> joints = own;
    joints.lower = factors.lower;
    joints.diagonal = factors.diagonal;
    joints.upper = factors.upper;
    joints.last_ratio = factors.last_ratio;
    joints.last_fill = factors.last_fill;
    joints.last_inverse = factors.last_inverse;
    return joints;
}

}  // namespace

template <class T>
void LineLu<T>::solve(const T* b, T* x, Work& work, Team* team) const {
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    Joints<T> joints = with_own_right(joints_, work.joints);
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        alignas(64) T packed[LineCut<T>::kStretch];
        T* value = x + stretch.first;
        const T* lower = packed_.lower + stretch.first;
        const T* inverse = inverse_ + stretch.first;
        const T* bottom = bottom_ + stretch.first;
        pack(stretch, b, packed);
        const std::int64_t settled = settled_[stretch.piece / lanes];
        Pack<T> right = load(packed), before = {};
        for (std::int64_t i = lanes; i < stretch.rows * lanes; i += lanes) {
            const std::int64_t at = std::min(i, settled);
            before = (load(packed + i) - load(lower + at) * before) * load(inverse + at);
            right -= load(bottom + at) * before;
            store(value + i, before);
        }
        store(joints.right + stretch.piece, right);
        store(joints.last_value + stretch.piece, before);
    });
    joints.solve();
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        alignas(64) T packed[LineCut<T>::kStretch];
        substitute(stretch, joints, x + stretch.first, fill_ + stretch.first,
                   ratio_ + stretch.first, settled_[stretch.piece / lanes],
                   [&](std::int64_t i, Pack<T> at) { store(packed + i, at); });
        unpack(stretch, packed, x);
    });
}

template <class T>
void LineLu<T>::solve_transposed(const T* b, T* x, Work& work, Team* team) const {
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    Joints<T> joints = with_own_right(joints_, work.joints);
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        alignas(64) T packed[LineCut<T>::kStretch];
        T* value = x + stretch.first;
        const T* ratio = ratio_ + stretch.first;
        const T* fill = fill_ + stretch.first;
        pack(stretch, b, packed);
        const std::int64_t settled = settled_[stretch.piece / lanes];
        Pack<T> right = load(packed), before = {}, before_ratio = {};
        for (std::int64_t i = lanes; i < stretch.rows * lanes; i += lanes) {
            const std::int64_t at = std::min(i, settled);
            before = load(packed + i) - before_ratio * before;
            before_ratio = load(ratio + at);
            right -= load(fill + at) * before;
            store(value + i, before);
        }
        store(joints.right + stretch.piece, right);
        store(joints.last_value + stretch.piece, before);
    });
    joints.solve_transposed();
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        alignas(64) T packed[LineCut<T>::kStretch];
        const T* value = x + stretch.first;
        const T* lower = packed_.lower + stretch.first;
        const T* inverse = inverse_ + stretch.first;
        const T* bottom = bottom_ + stretch.first;
        const std::int64_t settled = settled_[stretch.piece / lanes];
        const Pack<T> joint = load_up_to(joints.x + stretch.piece, stretch.n_pieces);
        Pack<T> after = load(joints.x + stretch.piece + 1);
        Pack<T> below = load(joints.lower + stretch.piece + 1);
        for (std::int64_t i = (stretch.rows - 1) * lanes; i > 0; i -= lanes) {
            const std::int64_t at = std::min(i, settled);
            after = ((load(value + i) - load(bottom + at) * joint) - below * after) *
                    load(inverse + at);
            below = load(lower + at);
            store(packed + i, after);
        }
        store(packed, joint);
        unpack(stretch, packed, x);
    });
}

template class LineLu<float>;
template class LineLu<double>;

}  // namespace relaxon
